"""Decoding image files of every kind that Pillow reads, safely, to 8-bit RGB or grey."""

from __future__ import annotations

import io
import os
import stat
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from pixelflow.system.errors import first_line
from pixelflow.system.png_text import without_text

T = TypeVar("T")

LARGEST_FILE = 1 << 28
"""Bytes of an encoded image; a larger one is refused, for some decoders take a file into memory as a whole."""

_USUAL = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "JPEG2000")
"""Decoders that a file may reach whatever its name says; any other only where the name ends accordingly."""

_NO_PICTURES = ("BUFR", "EPS", "FITS", "GRIB", "HDF5", "IPTC", "MPEG", "PDF", "WMF")
"""What Pillow knows and this does not read: programs (EPS starts Ghostscript), metafiles, video, documents, data."""

_GREY = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N")
"""Modes without colour."""

_SIXTEEN_BITS = ("PNG", "PPM")
"""Formats whose mode "I" holds 16 bits; in others its range is not stated."""

_ORIENTATION, _LYING = 0x0112, (5, 6, 7, 8)
"""The Exif tag of how a camera was held, and its values with which height and width change places."""

_ANY = 1 << 28
"""A side in pixels that no image has."""

_DRAFT_MARGIN = 2
"""A JPEG is shrunk while it is decoded to no less than this multiple of the wanted size, for quality."""


class UnreadableImageError(ValueError):
    """A file that is no image, or is one that must not or cannot be shown in 8 bits."""


@cache
def _formats() -> dict[str, str]:
    """Suffix of a name, in lower case -> the decoder; of all pictures that this installation's Pillow reads."""
    Image.init()
    found = {suffix: "JPEG" if kind == "MPO" else kind for suffix, kind in Image.registered_extensions().items()}
    return {suffix: kind for suffix, kind in found.items() if kind in Image.OPEN and kind not in _NO_PICTURES}


def is_picture(name: str) -> bool:
    """Whether a file of this name is read as a picture."""
    return suffix_of(name) in _formats()


def suffix_of(name: str) -> str:
    """``.png`` of ``a.b.PNG``; empty where a name has none."""
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 - a million names


def read(
    source: Path | BinaryIO, channels: int, side: int = _ANY, ground: str = "white", name: str = ""
) -> Image.Image:
    """The first frame of an image file, upright, on a ground where it is transparent.

    Args:
        source: a path, or the file's content.
        channels: 1 for grey ("L"), 3 for colour ("RGB").
        side: both sides may be reduced to this many pixels while decoding, but no further; by default not at all.
        ground: a colour as Pillow names it.
        name: of the file that the content is from; rare kinds are known by it alone.

    Raises:
        UnreadableImageError: with the reason.
    """
    mode = "L" if channels == 1 else "RGB"

    def decoded(image: Image.Image) -> Image.Image:
        image.draft(mode, (_DRAFT_MARGIN * side, _DRAFT_MARGIN * side))
        ImageOps.exif_transpose(image, in_place=True)
        return _flattened(image, ground).convert(mode)

    return _opened(source, decoded, name)


def shape(source: Path | BinaryIO, name: str = "") -> tuple[int, int, int]:
    """Channels (1 for grey, else 3), height and width of an image file, upright; the header alone is read.

    Raises:
        UnreadableImageError: with the reason.
    """

    def measured(image: Image.Image) -> tuple[int, int, int]:
        lies = Image.Image.getexif(image).get(_ORIENTATION) in _LYING  # a PNG's own decodes all pixels first
        height, width = (image.width, image.height) if lies else (image.height, image.width)
        return 1 if image.mode in _GREY else 3, height, width

    return _opened(source, measured, name)


def has_colour(path: Path) -> bool:
    """Whether a file is an image in colour; of an unreadable one it is not."""
    try:
        return shape(path)[0] == 3
    except UnreadableImageError:
        return False


def _opened(source: Path | BinaryIO, use: Callable[[Image.Image], T], name: str = "") -> T:
    """What `use` makes of the file as an image; whatever goes wrong becomes an UnreadableImageError."""
    name = name or (source.name if isinstance(source, Path) else "")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            try:
                return _used(source, use, name)
            except ValueError as error:
                if "MAX_TEXT" not in str(error):
                    raise
            # A PNG with more text than Pillow takes into memory; its pixels are as good as any.
            return _used(io.BytesIO(without_text(source, LARGEST_FILE)), use, name)
    except Exception as error:  # decoders of hostile files raise whatever they run into
        raise UnreadableImageError(_reason(error)) from error


def _used(source: Path | BinaryIO, use: Callable[[Image.Image], T], name: str) -> T:
    if isinstance(source, Path):
        _check_file(source)
    own = _formats().get(suffix_of(name))
    formats = [kind for kind in dict.fromkeys((*_USUAL, own)) if kind in Image.OPEN]
    with Image.open(source, formats=formats) as image:
        return use(image)


def _check_file(path: Path) -> None:
    """Raise ValueError for what may not end (a pipe, a device) or would fill the memory."""
    state = path.stat()
    if not stat.S_ISREG(state.st_mode):
        raise ValueError("no plain file")
    if state.st_size > LARGEST_FILE:
        raise ValueError(f"larger than {LARGEST_FILE} bytes")


def _flattened(image: Image.Image, ground: str) -> Image.Image:
    """Without alpha and with 8 bits a channel."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in _SIXTEEN_BITS):
        return Image.fromarray((np.asarray(image) / 257).round().astype(np.uint8))
    if image.mode in ("I", "F"):
        raise UnreadableImageError(f"its pixels (mode {image.mode}) have no stated range")
    return on_ground(image, ground) if image.has_transparency_data else image


def on_ground(image: Image.Image, ground: str) -> Image.Image:
    """What is seen of a picture of 8 bits on a ground of this colour."""
    return Image.alpha_composite(Image.new("RGBA", image.size, ground), image.convert("RGBA"))


def _reason(error: Exception) -> str:
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return f"more than {Image.MAX_IMAGE_PIXELS} pixels"
    if isinstance(error, UnidentifiedImageError):
        return "not an image of a known format"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return first_line(error)
