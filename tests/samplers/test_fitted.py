"""Fitted weights: whose they are, what they are without a fit, and how near they come with one."""

from __future__ import annotations

import pytest
import torch

import pixelflow
from pixelflow.core.schedule import make_stages
from pixelflow.costs.fitting import ReferencePath, fitted_settings, least_squares
from pixelflow.generation.settings import changed_sampling
from pixelflow.samplers.adams_bashforth2 import AdamsBashforth2
from pixelflow.samplers.fitted import Fitted
from pixelflow.system.errors import UsageError
from tests.conftest import make_run, make_spec

UNEVEN = [0.0, 0.1, 0.4, 0.6, 1.0]
COARSE, FINE = make_stages(2, 1.0)


class Curved:
    """x' = (1 - 3 tau) x + tau"""

    def __call__(self, x, tau):
        return (1 - 3 * tau) * x + tau

    def stepped(self, x, tau):
        return x


def end(sampler, points, x):
    return sampler.integrate(Curved(), x, points, lambda: x)


def test_without_weights_it_is_adams_bashforth():
    x = torch.linspace(-1, 1, 8, dtype=torch.float64)
    wanted = end(AdamsBashforth2(AdamsBashforth2.Params()), UNEVEN, x)
    torch.testing.assert_close(end(Fitted(Fitted.Params()).at(FINE), UNEVEN, x), wanted)


def test_each_stage_has_its_own_weights():
    """A step adds the weighted sum of the first state and of what was evaluated until then."""
    sampler = Fitted(Fitted.Params(weights=(((0.5, 1.0),), ((0.0, 0.5), (-1.0, 2.0, 3.0)))))
    x = torch.tensor([2.0], dtype=torch.float64)
    assert end(sampler.at(COARSE), [0, 1], x) == 2 + 0.5 * 2 + 1.0 * 2
    middle = 2 + 0.5 * 2
    assert end(sampler.at(FINE), [0, 0.5, 1], x) == middle - 2 + 2.0 * 2 + 3.0 * (-0.5 * middle + 0.5)


@pytest.mark.parametrize(
    ("stage", "points", "told"),
    [
        (COARSE, [0, 0.5, 1], "of stage 0 were fitted for 1 steps, and 2 are asked for; keep the steps"),
        (make_stages(3, 1.0)[0], [0, 1], "are of 2 stages, and the cascade has 3"),
    ],
)
def test_weights_of_other_steps_or_stages_are_refused(stage, points, told):
    sampler = Fitted(Fitted.Params(weights=(((0.0, 1.0),), ((0.0, 0.5), (0.0, 0.0, 0.5))))).at(stage)
    with pytest.raises(UsageError, match=told):
        end(sampler, points, torch.ones(1))


def test_least_squares_finds_what_a_sum_was_made_of():
    given = list(torch.randn(3, 2, 1, 4, 4, generator=torch.Generator().manual_seed(0)))
    found = least_squares(given, 0.25 * given[0] - 2 * given[2])
    assert found == pytest.approx((0.25, 0.0, -2.0), abs=1e-4)


def test_a_path_is_that_of_the_first_batch_and_straight_between_its_states():
    path, start = ReferencePath(1), torch.zeros(1, 1)
    for stage, tau, state in ((COARSE, 0.5, 1.0), (COARSE, 1.0, 3.0), (FINE, 1.0, 8.0), (COARSE, 0.5, 9.0)):
        path.keep(stage, tau, torch.full((2, 1), state), torch.zeros(2, 1))
    found = [float(path.at(COARSE, tau, start)) for tau in (0.25, 0.5, 0.75, 1.0)]
    assert found == [0.5, 1.0, 2.0, 3.0]
    assert float(path.at(FINE, 0.5, start)) == 4.0


def test_images_that_it_was_not_fitted_on_come_nearer_than_by_the_same_evaluations(tmp_path):
    run = pixelflow.load(make_run(tmp_path / "run", make_spec("backbone.depth=1")), device="cpu")
    labels, path = {"label": [0, 1, 2, 3]}, ReferencePath(4)
    run.draw(labels=labels["label"], seeds=range(4), sampler="rk4", steps=12, on_step=path.keep)
    coarse = changed_sampling(run.spec, {"steps": 3, "sampler": "fitted"})
    settings = fitted_settings(run, coarse, labels, range(4), path)
    assert [[len(step) for step in stage] for stage in settings["weights"]] == [[2, 3, 4]] * 2
    others = {"labels": [4, 5, 6, 7], "seed": 10}
    exact = run.sample(**others, sampler="rk4", steps=12)
    off = {
        name: float((run.sample(**others, sampler=sampler, steps=3) - exact).square().mean().sqrt())
        for name, sampler in (("fitted", settings), ("not", "fitted"))
    }
    assert off["fitted"] < 0.7 * off["not"], off
    with pytest.raises(UsageError, match="of stage 0 were fitted on another grid of times"):
        run.sample(**others, sampler=settings, steps=3, grid={"type": "shifted", "shift": 3.0})
