"""Pictures of any size and shape as tensors of the wanted size: decoded, resized, cropped, mirrored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Annotated, BinaryIO, Literal, Self

import numpy as np
import torch
from PIL import Image, ImageColor
from pydantic import AfterValidator, Field
from torch import Tensor

from pixelflow.core.interfaces import Dataset, Survey
from pixelflow.core.problems import problem
from pixelflow.core.sizes import Size, fitting_size
from pixelflow.system import decoding


def _colour(name: str) -> str:
    try:
        ImageColor.getrgb(name)
    except ValueError:
        raise problem(f"{name!r} is no colour; write black, '#30a0ff' or 'rgb(48, 160, 255)'") from None
    return name


class FramedParams(Dataset.Params):
    """Settings of data sets whose pictures have sizes of their own."""

    resize: float = Field(default=1.125, ge=1, le=8)
    """Shorter side before cropping, as a multiple of the target."""
    crop: Literal["random", "center"] = "random"
    """Where the window is cut out."""
    flip: bool = False
    """Mirror every other image, at random, left to right; captions that speak of left and right then lie."""
    ground: Annotated[str, AfterValidator(_colour)] = "white"
    """The colour behind transparent pixels."""

    def plain(self) -> Self:
        return self.model_copy(update={"resize": 1.0, "crop": "center", "flip": False})


def ground_of(data: Dataset.Params) -> str:
    """The colour behind transparent pixels that a network has learnt with; white for data without such a setting."""
    return str(data.model_dump().get("ground", "white"))


@dataclass(frozen=True)
class Framing:
    """Encoded pictures to tensors of `height` x `width` pixels, or of whichever of `sizes` keeps most of a picture.

    The shorter side is resized to `resize` times the target, then a window is cut out (ADM, arXiv 2105.05233,
    and PixelFlow's release: 1.125, random, flipped). Both happen in one antialiased bicubic resampling.
    """

    settings: FramedParams
    height: int
    width: int
    channels: int
    sizes: tuple[Size, ...] = ()

    def __call__(self, source: Path | BinaryIO, generator: torch.Generator, name: str = "") -> Tensor:
        """The picture in a file as (c h w) in [-1, 1].

        Args:
            name: of the file that the content is from, where `source` is no path.

        Raises:
            UnreadableImageError: with the reason.
        """
        side = int(self.settings.resize * max(self.height, self.width, *map(max, self.sizes)))
        return self.framed(decoding.read(source, self.channels, side, self.settings.ground, name), generator)

    def framed(self, picture: Image.Image, generator: torch.Generator) -> Tensor:
        """A decoded picture, grey or RGB as `channels` says, as (c h w) in [-1, 1]."""
        image = _to_tensor(self._window(picture, generator))
        if self.settings.flip and torch.rand((), generator=generator) < 0.5:
            image = image.flip(-1)
        return image

    def _window(self, picture: Image.Image, generator: torch.Generator) -> Image.Image:
        """The picture resized and cropped to the target size."""
        height, width = self.height, self.width
        if self.sizes:
            height, width = fitting_size((picture.height, picture.width), self.sizes)
        scale = self.settings.resize * max(width / picture.width, height / picture.height)
        left = self._offset(picture.width * scale - width, generator) / scale
        top = self._offset(picture.height * scale - height, generator) / scale
        right, bottom = min(left + width / scale, picture.width), min(top + height / scale, picture.height)
        return picture.resize((width, height), Image.Resampling.BICUBIC, box=(left, top, right, bottom))

    def _offset(self, slack: float, generator: torch.Generator) -> int:
        """Where the window starts, in pixels of the resized picture that is `slack` larger."""
        slack = round(slack)
        if self.settings.crop == "center":
            return slack // 2
        return int(torch.randint(slack + 1, (), generator=generator))


def _to_tensor(picture: Image.Image) -> Tensor:
    """(c h w) in [-1, 1]"""
    pixels = torch.from_numpy(np.array(picture)).float() / 127.5 - 1
    return pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1).contiguous()


def surveyed(count: int, most: int, size_of: Callable[[int], Size]) -> Survey:
    """The sizes of at most `most` of `count` pictures, by a fixed seed; `size_of` raises UnreadableImageError."""
    sizes: Counter[Size] = Counter()
    places = sorted(Random(0).sample(range(count), min(count, most)))
    for index in places:
        with suppress(decoding.UnreadableImageError):
            sizes[size_of(index)] += 1
    return Survey(len(places), sizes)
