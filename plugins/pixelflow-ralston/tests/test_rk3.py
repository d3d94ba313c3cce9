"""The sampler keeps the contracts of its kind, knows the named methods, and is found once it is installed."""

import pytest
from pixelflow_ralston.rk3 import RungeKutta3, tableau
from pydantic import ValidationError

from pixelflow import contracts
from pixelflow.core import plugins
from pixelflow.core.registry import registry


@pytest.mark.parametrize(("second", "third"), [(1 / 2, 3 / 4), (1 / 3, 2 / 3), (1 / 2, 1)])
def test_keeps_its_contract(second, third):
    for outcome in contracts.check(RungeKutta3.Params(second=second, third=third)):
        assert outcome.status == "kept", f"{outcome.promise} {outcome.reason}"


@pytest.mark.parametrize(
    ("places", "weights"),
    [((1 / 2, 3 / 4), (2 / 9, 1 / 3, 4 / 9)), ((1 / 3, 2 / 3), (1 / 4, 0, 3 / 4)), ((1 / 2, 1), (1 / 6, 2 / 3, 1 / 6))],
)
def test_gives_the_methods_of_ralston_heun_and_kutta(places, weights):
    assert tableau(*places).weights == pytest.approx(weights)


@pytest.mark.parametrize(("second", "third"), [(2 / 3, 0.9), (0.5, 0.5)])
def test_refuses_places_without_a_method(second, third):
    with pytest.raises(ValidationError):
        RungeKutta3.Params(second=second, third=third)


def test_is_found_by_its_name():
    assert [failure.reason for failure in plugins.failures() if failure.plugin == "ralston"] == []
    assert registry.of_kind("sampler")["ralston.rk3"].cls is RungeKutta3
