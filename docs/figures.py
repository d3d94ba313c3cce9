"""Draws the figures of docs/renoising.md with the toolkit's own operators: python docs/figures.py"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from einops import rearrange
from PIL import Image
from torch import Tensor

from pixelflow.core.cascade import Cascade
from pixelflow.generation.pictures import grid
from pixelflow.operators.bilinear import BilinearDown, BilinearUp
from pixelflow.operators.nearest import NearestUp

FOLDER = Path(__file__).parent / "figures"
SIDE = 64
ZOOM = 4


def photograph() -> Tensor:
    """A real photograph (1 3 SIDE SIDE) in [-1, 1], from scikit-learn."""
    from sklearn.datasets import load_sample_image

    pixels = torch.from_numpy(load_sample_image("flower.jpg").copy()).float() / 127.5 - 1
    square = rearrange(pixels, "h w c -> 1 c h w")[..., 20:404, 110:494]
    return F.interpolate(square, (SIDE, SIDE), mode="area")


def handover(photo: Tensor) -> Image.Image:
    """What happens to one image between the third and the last of four stages."""
    cascade = Cascade(4, BilinearDown(BilinearDown.Params()), NearestUp(NearestUp.Params()))
    coarse, fine = cascade.stages[2:]
    generator = torch.Generator().manual_seed(0)
    small = cascade.at_stage(photo, coarse)
    end = coarse.end * small + (1 - coarse.end) * torch.randn(small.shape, generator=generator)
    lifted = cascade.up(end)
    noise = cascade.up.shape_noise(torch.randn(photo.shape, generator=generator))
    start = cascade.renoise(end, fine, noise)
    direct = fine.start * cascade.blur(photo) + (1 - fine.start) * torch.randn(photo.shape, generator=generator)
    shown = [F.interpolate(end, (SIDE, SIDE)), lifted, noise, start, direct]
    titles = [
        "1 stage's end, 32x32",
        "2 upsampled: blocky noise",
        "3 renoising noise",
        "4 next stage's start",
        "5 as trained on (Eq 2)",
    ]
    return grid(enlarged(torch.cat(shown)), titles, columns=5)


def covariances() -> Image.Image:
    """Covariances among the pixels of a 4 x 6 image: of upsampled noise, renoising noise and their sum, over g^2."""
    rows, titles = [], []
    for name, up in (("nearest", NearestUp(NearestUp.Params())), ("bilinear", BilinearUp(BilinearUp.Params()))):
        lifted = responses(up, 2, 3)
        shaped = up.noise_scale(4, 6) * responses(up.shape_noise, 4, 6)
        parts = [lifted.mT @ lifted, shaped.mT @ shaped]
        rows += [heat(part / up.gain**2) for part in [*parts, parts[0] + parts[1]]]
        titles += [f"{name}: upsampled white noise", "renoising noise", "sum: white again"]
    return grid(torch.stack(rows), titles, columns=3)


def responses(apply: Callable[[Tensor], Tensor], height: int, width: int) -> Tensor:
    """The matrix of a linear map of images, transposed: one row (h*w) an input pixel."""
    basis = torch.eye(height * width, dtype=torch.float64).view(-1, 1, height, width)
    return apply(basis).flatten(1)


def heat(matrix: Tensor) -> Tensor:
    """A matrix as a picture (3 h w): white 0, red positive, blue negative."""
    values = matrix.float().clamp(-1, 1)
    red, blue = (1 - values.clamp_max(0).abs()), (1 - values.clamp_min(0))
    return enlarged((torch.stack([red, torch.minimum(red, blue), blue]) * 2 - 1)[None], 9)[0]


def enlarged(images: Tensor, factor: int = ZOOM) -> Tensor:
    return images.repeat_interleave(factor, -1).repeat_interleave(factor, -2)


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    handover(photograph()).save(FOLDER / "handover.png")
    covariances().save(FOLDER / "covariances.png")
    print(f"figures: {FOLDER}")


if __name__ == "__main__":
    main()
