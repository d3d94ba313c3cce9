"""Arrays that people give as files, and arrays in JSON."""

from __future__ import annotations

import base64
import binascii
import io
import math
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pixelflow.system import decoding
from pixelflow.system.errors import DataError, MissingInputError, first_line
from pixelflow.system.streams import read_start

_LARGEST = 1 << 28
"""Bytes of a file, and of an array in JSON."""
_HEADS = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}


def read_array(path: Path) -> Tensor:
    """An array of numbers (.npy) in float32, or a picture (c h w) in [-1, 1], grey or in colour as it is itself.

    Raises:
        MissingInputError: there is no such file.
        DataError: it is neither, is too large, or holds what is not finite.
    """
    return _read_npy(path) if path.suffix.lower() == ".npy" else read_picture(path)


def read_picture(path: Path, channels: int | None = None, ground: str = "white") -> Tensor:
    """A picture (c h w) in [-1, 1].

    Args:
        channels: 1 for grey, 3 for colour; by default as it is itself.
        ground: the colour behind transparent pixels.

    Raises:
        MissingInputError, DataError: as `read_array`.
    """
    if not path.exists():
        raise MissingInputError(f"{path}: there is no such file")
    try:
        channels = channels or decoding.shape(path)[0]
        pixels = np.asarray(decoding.read(path, channels, ground=ground))
    except decoding.UnreadableImageError as error:
        raise DataError(f"{path}: cannot be read as a picture ({error})") from None
    image = torch.from_numpy(pixels.copy()).float() / 127.5 - 1
    return image[None] if channels == 1 else image.permute(2, 0, 1).contiguous()


def _read_npy(path: Path) -> Tensor:
    try:
        content = read_start(path, _LARGEST + 1)
    except OSError as error:
        raise MissingInputError(f"{path}: cannot be read ({error.strerror})") from None
    if len(content) > _LARGEST:
        raise DataError(f"{path}: is larger than {_LARGEST} bytes")
    try:
        _check_head(content)
        numbers = np.load(io.BytesIO(content), allow_pickle=False)
        tensor = torch.from_numpy(np.array(numbers, np.float32, order="C"))
    except (ValueError, TypeError, KeyError, EOFError, SyntaxError, MemoryError) as error:
        raise DataError(f"{path}: is no array of numbers ({first_line(error)})") from None
    if not tensor.isfinite().all():
        raise DataError(f"{path}: holds what is not finite (nan or inf)")
    return tensor


def _check_head(content: bytes) -> None:
    """Raise ValueError for an array that claims other bytes than there are: numpy allocates what is claimed."""
    stream = io.BytesIO(content)
    major, _ = np.lib.format.read_magic(stream)
    shape, _, kind = _HEADS[major](stream)
    if kind.kind not in "fiub":
        raise ValueError(f"its values are of the kind {kind}")
    if math.prod(shape) * kind.itemsize != len(content) - stream.tell():
        raise ValueError("its size is not the one that it states")


def to_json(array: Tensor) -> dict[str, object]:
    """An array as JSON: its shape, and its numbers in float32, little-endian, compressed, in base64."""
    numbers = np.asarray(array.detach().cpu().float().numpy(), "<f4")
    content = base64.b64encode(zlib.compress(numbers.tobytes(), 9)).decode()
    return {"shape": list(numbers.shape), "float32": content}


def from_json(kept: object) -> Tensor:
    """The array again; raises DataError for what `to_json` does not write."""
    try:
        if not isinstance(kept, Mapping):
            raise TypeError("no object")
        shape = tuple(int(side) for side in kept["shape"])
        wanted = 4 * math.prod(shape)
        inflate = zlib.decompressobj()
        content = inflate.decompress(base64.b64decode(kept["float32"], validate=True), _LARGEST)
        if len(content) != wanted or min(shape, default=0) < 0:
            raise ValueError("its size is not the one that it states")
    except (KeyError, TypeError, ValueError, binascii.Error, zlib.error) as error:
        raise DataError(f"an array in the record is damaged ({first_line(error)})") from None
    return torch.from_numpy(np.frombuffer(content, "<f4").reshape(shape).astype(np.float32))
