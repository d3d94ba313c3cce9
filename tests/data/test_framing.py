"""Pictures of any size become images of the wanted size, cut from within the picture."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pixelflow.data.framing import FramedParams, Framing

SIDES = st.integers(1, 90)
TARGETS = st.tuples(st.integers(1, 5), st.integers(1, 5)).map(lambda size: (8 * size[0], 8 * size[1]))


def settings(**changes: object) -> FramedParams:
    return FramedParams.model_construct(**{"resize": 1.125, "crop": "random", "flip": False} | changes)


def columns(width: int, height: int) -> Image.Image:
    """A picture whose pixels tell their column, from 0 to 255."""
    row = np.linspace(0, 255, width).round().astype(np.uint8)
    return Image.fromarray(np.tile(row, (height, 1)))


@given(SIDES, SIDES, TARGETS, st.sampled_from([1.0, 1.125, 3.0]), st.sampled_from(["random", "center"]), SIDES)
def test_any_picture_fits_any_size(width, height, target, resize, crop, seed):
    framing = Framing(settings(resize=resize, crop=crop, flip=True), *target, channels=1)
    image = framing.framed(columns(width, height), torch.Generator().manual_seed(seed))
    assert image.shape == (1, *target)
    assert image.min() >= -1
    assert image.max() <= 1
    again = framing.framed(columns(width, height), torch.Generator().manual_seed(seed))
    assert torch.equal(image, again)


def test_flipping_mirrors_some_and_leaves_the_others():
    framing = Framing(settings(crop="center", flip=True), 8, 8, channels=1)
    images = [framing.framed(columns(8, 8), torch.Generator().manual_seed(seed)) for seed in range(12)]
    rows = {tuple(image[0, 0].tolist()) for image in images}
    assert len(rows) == 2
    assert {row[::-1] for row in rows} == rows
