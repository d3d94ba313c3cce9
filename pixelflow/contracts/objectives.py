"""Checks of predictions and of distributions of training times."""

from __future__ import annotations

import torch
from torch import Tensor

from pixelflow.contracts.checking import Check, expect, expect_close, expect_gradient, expect_like
from pixelflow.core.interfaces import Prediction, Times
from pixelflow.core.schedule import make_stages

_GAIN = 2.0


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
    """Any number of times in [0, 1), on the CPU."""
    times: Times = params.build()
    for count in (0, 1, 1000):
        drawn = times.sample(count, torch.Generator().manual_seed(0))
        expect_like(drawn, (count,), torch.float32, f"a sample of {count}")
        expect(bool(((drawn >= 0) & (drawn < 1)).all()), "some times lie outside [0, 1)")


def follows_the_generator(params: Times.Params) -> None:
    """The generator alone decides: one seed gives one sample, another seed another."""
    times: Times = params.build()
    first, again, other = (times.sample(100, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    expect(torch.equal(first, again), "one seed gave two samples")
    expect(not torch.equal(first, other), "two seeds gave one sample")


PREDICTION_CHECKS: tuple[Check, ...] = (gives_a_velocity, treats_images_alone)
TIMES_CHECKS: tuple[Check, ...] = (lies_in_the_stage, follows_the_generator)
