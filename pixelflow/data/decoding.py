"""Decoding image files of every common kind, safely, to 8-bit RGB or grey."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
"""Of the files that are read as images, in lower case."""

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
"""Decoders that a file may reach, whatever its suffix says; Pillow has others that start programs."""

_GREY = ("1", "L", "LA", "La", "I;16", "I;16B", "I;16L", "I;16N")
"""Modes without colour."""

_DRAFT_MARGIN = 2
"""A JPEG is shrunk while it is decoded to no less than this multiple of the wanted size, for quality."""


class UnreadableImageError(ValueError):
    """A file that is no image, or is one that must not or cannot be shown in 8 bits."""


def read(source: Path | BinaryIO, channels: int, side: int) -> Image.Image:
    """The first frame of an image file, upright, on white where it is transparent.

    Args:
        source: a path, or the file's content.
        channels: 1 for grey ("L"), 3 for colour ("RGB").
        side: both sides may be reduced to this many pixels while decoding, but no further.

    Raises:
        UnreadableImageError: with the reason.
    """
    mode = "L" if channels == 1 else "RGB"
    with _opened(source) as image:
        image.draft(mode, (_DRAFT_MARGIN * side, _DRAFT_MARGIN * side))
        ImageOps.exif_transpose(image, in_place=True)
        return _flattened(image).convert(mode)


def shape(path: Path) -> tuple[int, int, int]:
    """Channels (1 for grey, else 3), height and width of an image file, upright.

    Raises:
        UnreadableImageError: with the reason.
    """
    with _opened(path) as image:
        ImageOps.exif_transpose(image, in_place=True)
        return 1 if image.mode in _GREY else 3, image.height, image.width


def has_colour(path: Path) -> bool:
    """Whether a file is an image in colour; of an unreadable one it is not."""
    try:
        with _opened(path) as image:
            return image.mode not in _GREY
    except UnreadableImageError:
        return False


@contextmanager
def _opened(source: Path | BinaryIO) -> Iterator[Image.Image]:
    """The file as an image; whatever goes wrong with it becomes an UnreadableImageError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(source, formats=_FORMATS) as image:
                yield image
    except Exception as error:  # decoders of hostile files raise whatever their parsing runs into
        raise UnreadableImageError(_reason(error)) from error


def _flattened(image: Image.Image) -> Image.Image:
    """Without alpha and with 8 bits a channel."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) / 257).round().astype(np.uint8))
    if image.mode in ("I", "F"):
        raise UnreadableImageError(f"its pixels (mode {image.mode}) have no stated range")
    if not image.has_transparency_data:
        return image
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA"))


def _reason(error: Exception) -> str:
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return f"more than {Image.MAX_IMAGE_PIXELS} pixels"
    if isinstance(error, UnidentifiedImageError):
        return "not an image of a known format"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return (str(error) or type(error).__name__).splitlines()[0]
