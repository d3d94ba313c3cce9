"""Checks of predictions and of distributions of training times."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from pixelflow.contracts.checking import Check, expect, expect_close, expect_gradient, expect_like
from pixelflow.core.interfaces import Prediction, Times
from pixelflow.core.schedule import Stage, make_stages

_GAIN = 2.0
_MANY, _CLOSE = 100_000, 0.05
_SHORT = 0.002
_NEAR = tuple(step / 1000 for step in (*range(121), *range(880, 1001)))
"""Times close to both ends."""
_JUMP = 0.25
"""Relative change within a thousandth of a stage that no steady function shows."""


def _blur(y: Tensor) -> Tensor:
    """Block means: what the paper's operators leave of an image."""
    return torch.nn.functional.avg_pool2d(y, 2).repeat_interleave(2, -1).repeat_interleave(2, -2)


def gives_a_velocity(params: Prediction.Params) -> None:
    """A velocity of the state's shape and dtype, with a gradient, at every stage."""
    prediction: Prediction = params.build()
    tau = torch.tensor([0.0, 0.5, 1.0]).view(3, 1, 1, 1)
    for stage in make_stages(3, _GAIN):
        x = torch.randn(3, 1, 8, 8)
        output = torch.randn(3, 1, 8, 8, requires_grad=True)
        velocity = prediction.velocity(output, x, tau, stage, _blur)
        expect_like(velocity, x.shape, x.dtype, f"the velocity of stage {stage.index}")
        expect_gradient(velocity, output, "the prediction")


def works_near_the_ends(params: Prediction.Params) -> None:
    """Close to both ends of a stage each velocity is finite, hangs on the output, and goes over steadily in time."""
    prediction: Prediction = params.build()
    output, x = torch.randn(2, 1, 1, 8, 8, dtype=torch.float64)
    for stage in make_stages(3, _GAIN):
        ends = [_at(prediction, output, x, tau, stage) for tau in _NEAR]
        for (tau, now), (later, after) in pairwise(zip(_NEAR, ends, strict=True)):
            scale = max(float(now.norm()), float(after.norm()), 1e-12)
            where = f"between {tau:g} and {later:g} of stage {stage.index}"
            if later - tau < _SHORT:
                expect(float((after - now).norm()) < _JUMP * scale, f"the velocity jumps {where}")


def _at(prediction: Prediction, output: Tensor, x: Tensor, tau: float, stage: Stage) -> Tensor:
    leaf = output.clone().requires_grad_()
    velocity = prediction.velocity(leaf, x, torch.full((1, 1, 1, 1), tau, dtype=x.dtype), stage, _blur)
    expect_like(velocity, x.shape, x.dtype, f"the velocity at {tau:g} of stage {stage.index}")
    expect_gradient(velocity, leaf, f"the prediction at {tau:g} of stage {stage.index}")
    return velocity.detach()


def treats_images_alone(params: Prediction.Params) -> None:
    """An image's velocity does not depend on the batch around it."""
    prediction: Prediction = params.build()
    stage = make_stages(2, _GAIN)[1]
    output, x = torch.randn(2, 3, 1, 8, 8, dtype=torch.float64)
    tau = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64).view(3, 1, 1, 1)
    together = prediction.velocity(output, x, tau, stage, _blur)[1:2]
    alone = prediction.velocity(output[1:2], x[1:2], tau[1:2], stage, _blur)
    expect_close(together, alone, 1e-9, "alone it comes out otherwise")


def lies_in_the_stage(params: Times.Params) -> None:
    """As many times as wanted in [0, 1), on the CPU."""
    times: Times = params.build()
    for count in (0, 1, 1000):
        drawn = times.sample(count, torch.Generator().manual_seed(0))
        expect_like(drawn, (count,), torch.float32, f"a sample of {count}")
        expect(bool(((drawn >= 0) & (drawn < 1)).all()), "some times lie outside [0, 1)")


def reaches_both_ends(params: Times.Params) -> None:
    """Times close to 0 and close to 1 are drawn too, for samplers ask for velocities there."""
    times: Times = params.build()
    drawn = times.sample(_MANY, torch.Generator().manual_seed(0))
    least, most = float(drawn.min()), float(drawn.max())
    expect(least < _CLOSE and most > 1 - _CLOSE, f"{_MANY} times lie between {least:.3g} and {most:.3g}")


def follows_the_generator(params: Times.Params) -> None:
    """The generator alone decides: one seed gives one sample, another seed another."""
    times: Times = params.build()
    first, again, other = (times.sample(100, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    expect(torch.equal(first, again), "one seed gave two samples")
    expect(not torch.equal(first, other), "two seeds gave one sample")


PREDICTION_CHECKS: tuple[Check, ...] = (gives_a_velocity, works_near_the_ends, treats_images_alone)
TIMES_CHECKS: tuple[Check, ...] = (lies_in_the_stage, reaches_both_ends, follows_the_generator)
