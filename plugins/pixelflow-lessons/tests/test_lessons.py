"""All three keep the contracts of their kinds and are found once they are installed."""

import pytest
import torch
from pixelflow_lessons.cosine import CosineWeighting
from pixelflow_lessons.guided import GuidedTeacher
from pixelflow_lessons.sharp import Sharp

from pixelflow import contracts
from pixelflow.core import plugins
from pixelflow.core.registry import registry
from pixelflow.core.schedule import make_stages


@pytest.fixture(autouse=True)
def loaded():
    plugins.load()


@pytest.mark.parametrize("component", [CosineWeighting, Sharp, GuidedTeacher])
def test_keeps_its_contract(component):
    for outcome in contracts.check(component.Params()):
        assert outcome.status == "kept", f"{outcome.promise} {outcome.reason}"


def test_the_weights_have_a_mean_of_one():
    tau = (torch.arange(1000) + 0.5) / 1000
    (stage,) = make_stages(1, 2.0)
    assert CosineWeighting.Params(depth=0.8).build().weights(tau, stage).mean().item() == pytest.approx(1)


@pytest.mark.parametrize(
    ("kind", "component"), [("weighting", CosineWeighting), ("term", Sharp), ("objective", GuidedTeacher)]
)
def test_is_found_by_its_name(kind, component):
    assert [failure.reason for failure in plugins.failures() if failure.plugin == "lessons"] == []
    assert registry.of_kind(kind)[component.type_name()].cls is component
