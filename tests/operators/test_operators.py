"""Each operator against an independent statement of what it is."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from einops import rearrange
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pixelflow.core import plugins
from pixelflow.core.registry import registry

plugins.load()
UPS, DOWNS = registry.of_kind("upsampler"), registry.of_kind("downsampler")


def built(kind: str, name: str):
    return registry.of_kind(kind)[name].cls.Params().build()


def matrix(apply, height, width):
    basis = torch.eye(height * width, dtype=torch.float64).view(-1, 1, height, width)
    return rearrange(apply(basis), "i 1 h w -> (h w) i")


@pytest.mark.parametrize("name", UPS)
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (3, 2), (4, 4), (3, 8), (16, 5)])
def test_renoising_is_white_at_every_size(name, size):
    up = built("upsampler", name)
    height, width = size
    u = matrix(up, height, width)
    noise = up.noise_scale(2 * height, 2 * width) * matrix(up.shape_noise, 2 * height, 2 * width)
    total = u @ u.mT + noise @ noise.mT
    assert torch.allclose(total, up.gain**2 * torch.eye(len(total), dtype=torch.float64), atol=1e-5)


@pytest.mark.parametrize("name", UPS)
def test_renoising_noise_has_unit_mean_variance(name):
    shape = matrix(built("upsampler", name).shape_noise, 6, 8)
    assert float(shape.square().sum() / 48) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("name", UPS)
@given(st.integers(1, 24))
@settings(max_examples=20, deadline=None)
def test_no_size_amplifies_more_than_the_gain(name, length):
    up = built("upsampler", name)
    assert float(torch.linalg.matrix_norm(matrix(up, length, 2), 2)) <= up.gain * (1 + 1e-6)


def test_gains_are_the_known_ones():
    assert [built("upsampler", name).gain for name in ("nearest", "bilinear", "haar")] == [2.0, 2.0, 1.0]
    at_8 = float(torch.linalg.matrix_norm(matrix(built("upsampler", "bicubic"), 8, 8), 2))
    assert at_8**2 == pytest.approx(4.193, abs=1e-3)
    assert built("upsampler", "bicubic").gain ** 2 == pytest.approx(4.2700, abs=1e-3)


def test_haar_up_is_the_transpose_and_the_inverse_of_down():
    down, up = matrix(built("downsampler", "haar"), 8, 6), matrix(built("upsampler", "haar"), 4, 3)
    assert torch.equal(down, up.mT)
    assert torch.allclose(down @ up, torch.eye(12, dtype=torch.float64))


@pytest.mark.parametrize("name", ["bicubic", "lanczos"])
def test_halving_is_pils_inside(name):
    """PIL works in float32 mode F, and cuts its kernel off at the border, which torch and mirroring do otherwise."""
    image = np.random.default_rng(0).random((32, 48), dtype=np.float32)
    method = {"bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}[name]
    wanted = torch.from_numpy(np.array(Image.fromarray(image).resize((24, 16), method)))
    got = built("downsampler", name)(torch.from_numpy(image)[None, None])[0, 0]
    assert torch.allclose(got[4:-4, 4:-4], wanted[4:-4, 4:-4], atol=1e-5)


def test_area_is_the_mean_of_blocks():
    x = torch.randn(2, 3, 6, 10)
    wanted = rearrange(x, "b c (h i) (w j) -> b c h w (i j)", i=2, j=2).mean(-1)
    assert torch.allclose(built("downsampler", "area")(x), wanted, atol=1e-6)
    assert torch.allclose(built("downsampler", "bilinear")(x), wanted, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in UPS if name != "haar"])
def test_constants_stay(name):
    for size in ((1, 1), (1, 3), (5, 2)):
        assert torch.allclose(built("upsampler", name)(torch.ones(1, 1, *size)), torch.tensor(1.0), atol=1e-6)


@pytest.mark.parametrize("name", UPS)
def test_operators_and_noise_are_fast_next_to_a_network(name):
    """A 256-pixel renoising in well under 50 ms; one evaluation of the paper's network takes seconds on a core."""
    up = built("upsampler", name)
    x, white = torch.randn(1, 3, 128, 128), torch.randn(1, 3, 256, 256)
    up(x), up.shape_noise(white)
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        up(x), up.shape_noise(white)
        times.append(time.perf_counter() - begun)
    assert min(times) < 0.05
