"""Pictures in a row or one after the other: strips, GIF, WebP and animated PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from torch import Tensor

from pixelflow.generation.pictures import CELL, grid, to_pil, write_png
from pixelflow.system.errors import UsageError
from pixelflow.system.files import write_bytes

_SIDE = 256
"""Smaller pictures of an animation are enlarged towards it, by whole factors."""
_WRITERS = {".gif": "GIF", ".webp": "WEBP", ".apng": "PNG"}


def check_ending(file: Path) -> None:
    """Raise UsageError if no kind of picture has this ending."""
    if file.suffix.lower() not in (*_WRITERS, ".png"):
        raise UsageError(f"{file}: must end in .gif, .webp or .apng for an animation, or .png for a strip")


def write_frames(file: Path, images: Tensor, titles: Sequence[str], per_second: float = 12) -> None:
    """Write images (b c h w) in the form that the file's ending names; a ``.png`` is a strip with titles.

    Raises:
        UsageError: it has another ending.
        CannotWriteError: the system refuses.
    """
    check_ending(file)
    if file.suffix.lower() == ".png":
        write_png(file, grid(images, titles if any(titles) else None, len(images), CELL))
        return
    factor = max(1, _SIDE // max(images.shape[-2:]))
    first, *others = (_enlarged(picture, factor) for picture in to_pil(images))
    buffer = io.BytesIO()
    kind = _WRITERS[file.suffix.lower()]
    options = {"lossless": True} if kind == "WEBP" else {}
    first.save(buffer, kind, save_all=True, append_images=others, duration=round(1000 / per_second), loop=0, **options)
    write_bytes(file, buffer.getvalue())


def _enlarged(picture: Image.Image, factor: int) -> Image.Image:
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
