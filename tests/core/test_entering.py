"""Images that enter the cascade on the way come out with the law of the data, and nothing else does."""

from __future__ import annotations

import pytest
import torch

from pixelflow.core import plugins
from pixelflow.core.entering import Entry
from pixelflow.core.exactness import Entrance, GaussianCascade
from pixelflow.core.registry import registry
from pixelflow.system.errors import UsageError

plugins.load()


def built(kind: str, name: str):
    return registry.of_kind(kind)[name].cls.Params().build()


@pytest.mark.parametrize("operators", [("bilinear", "nearest"), ("haar", "haar"), ("bicubic", "bilinear")])
@pytest.mark.parametrize(
    "entrance",
    [
        Entrance(stage=0, tau=0.5, images=2),
        Entrance(stage=1, tau=0.0, images=2),
        Entrance(stage=1, tau=0.3, images=1),
        Entrance(stage=2, tau=0.0, images=1),
        Entrance(stage=2, tau=0.7, images=2),
    ],
)
def test_what_entered_comes_out_with_the_covariance_of_the_data(operators, entrance):
    down, up = operators
    cascade = GaussianCascade(built("downsampler", down), built("upsampler", up), 3, (8, 8))
    sampler, grid = built("sampler", "heun"), built("grid", "uniform")
    errors = [cascade.error(cascade.generated(sampler, grid, steps, entrance)) for steps in (4, 8, 16)]
    assert errors[-1] < 2e-3
    assert errors[0] > 3 * errors[1] > 9 * errors[2], "an error that falls at Heun's order"


def test_a_wrong_time_is_found():
    """The same state, gone on with as if it were a later one, does not have the law of the data."""
    cascade = GaussianCascade(built("downsampler", "bilinear"), built("upsampler", "nearest"), 2, (8, 8))
    sampler, grid = built("sampler", "heun"), built("grid", "uniform")

    class Late(Entry):
        def state(self, chain, white):
            return Entry(self.stage, 0.2, self.images).state(chain, white)

    import pixelflow.core.exactness as exactness

    whole, exactness.Entry = exactness.Entry, Late
    try:
        wrong = cascade.error(cascade.generated(sampler, grid, 32, Entrance(1, 0.6, 1)))
    finally:
        exactness.Entry = whole
    assert wrong > 0.05


def test_images_of_no_stages_size_do_not_enter():
    cascade = GaussianCascade(built("downsampler", "bilinear"), built("upsampler", "nearest"), 2, (8, 8)).cascade
    for images, tau in ((torch.zeros(1, 1, 4, 4), 0.5), (torch.zeros(1, 1, 2, 2), 0.0)):
        with pytest.raises(UsageError, match="do not enter stage 1"):
            Entry(1, tau, images).state(cascade, torch.zeros(1, 1, 8, 8))
