"""Images in an npz file, as evaluators exchange them."""

from __future__ import annotations

import io
import math
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from pixelflow.core.classes import numbered
from pixelflow.core.interfaces import BadSample, Dataset, Sample, Survey
from pixelflow.data.class_numbers import MOST_IDS, classes_of
from pixelflow.data.framing import FramedParams, Framing
from pixelflow.system.errors import DataError, MissingInputError, first_line
from pixelflow.system.files import is_plain_file

IMAGES, LABELS = "arr_0", "arr_1"
"""Names of the images (n h w c), 8 bits, and of their labels (n), in ADM's files (arXiv 2105.05233)."""
CLASSES = "classes"
"""Name of the labels' own names (k), text, which other programs pass over."""

_LONGEST_START, _LONGEST_HEADER = 12, 1 << 14
"""Bytes that say how long an array's header is, and of it; numpy itself reads no longer ones."""

_LONGEST_NAME = 1 << 14
"""Bytes of the name of a class."""

_LOCAL_HEADER = struct.Struct("<26xHH")
"""Of a zip's member: the lengths of its name and of its extra field stand at byte 26."""


class Npz(Dataset):
    """The images ``arr_0`` (n h w c), 8 bits, of an npz file, with labels where it has ``arr_1``.

    ``classes`` names the labels; without it their numbers stand for names.

    The file is mapped, or read as a stream where it is compressed, and never held in memory as a whole. A stream only
    goes forward, so training reads it slowly.

    Raises:
        MissingInputError: there is no such file.
        DataError: it holds no such array.
    """

    class Params(FramedParams):
        type: Literal["npz"] = "npz"
        file: Path
        """The file; a relative path starts at the current directory."""

    params: Params

    def __init__(self, params: Params, *, height: int, width: int, channels: int) -> None:
        super().__init__(params)
        self._framing = Framing(params, height, width, channels)
        self._images = NpzArray(params.file.expanduser(), IMAGES)
        _check_images(self._images)
        labels = _labels(self._images)
        names = _names(self._images.file, int(labels.max()) + 1) if len(labels) else ()
        self.classes, self._labels = (names, labels) if names else classes_of(labels, str(self._images.file))
        self.has_names = self.classes != numbered(len(self.classes))

    @property
    def fingerprint(self) -> str:
        """Settings, and the size and time of the file."""
        state = self._images.file.stat()
        return f"{self.params.model_dump_json()} {state.st_size} {state.st_mtime_ns}"

    def __len__(self) -> int:
        return len(self._images)

    def sample(self, index: int, generator: torch.Generator) -> Sample | BadSample:
        pixels = self._images[index]
        picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
        picture = picture.convert("L" if self._framing.channels == 1 else "RGB")
        return Sample(self._framing.framed(picture, generator), int(self._labels[index]) if self.classes else None)

    def survey(self, most: int) -> Survey:
        """All pictures have one size."""
        _, height, width, _ = self._images.shape
        return Survey(len(self), {(height, width): len(self)})


def image_shape(file: Path) -> tuple[int, int, int]:
    """Channels, height and width of the images of an npz file; raises as `Npz`."""
    images = NpzArray(file, IMAGES)
    _check_images(images)
    _, height, width, channels = images.shape
    return channels, height, width


def _check_images(images: NpzArray) -> None:
    if len(images.shape) == 4 and math.prod(images.shape[1:3]) > (Image.MAX_IMAGE_PIXELS or math.inf):
        raise DataError(
            f"{images.file}: its images have {images.shape[1]} x {images.shape[2]} pixels, more than are read"
        )
    if images.shape and images.shape[0] > images.file.stat().st_size:
        raise DataError(f"{images.file}: declares {images.shape[0]} images, more than it has bytes")
    if len(images.shape) != 4 or images.shape[-1] not in (1, 3) or images.dtype != np.uint8 or not images.shape[0]:
        raise DataError(
            f"{images.file}: {IMAGES} must be 8-bit images (n h w c) with 1 or 3 channels, "
            f"not {images.dtype} of shape {images.shape}"
        )


def _labels(images: NpzArray) -> NDArray[np.int64]:
    """The labels (n), or none if there is none for every image."""
    none = np.zeros(0, np.int64)
    if LABELS not in members(images.file):
        return none
    labels = NpzArray(images.file, LABELS)
    if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
        return none
    found = [int(labels[index]) for index in range(len(images))]
    if max(found) > np.iinfo(np.int64).max:
        raise DataError(f"{images.file}: the labels in {LABELS} are too large for numbers of classes")
    return none if min(found) < 0 else np.array(found, np.int64)


def _names(file: Path, count: int) -> tuple[str, ...]:
    """The names of the labels; none if the file does not name all of them, each once."""
    if CLASSES not in members(file):
        return ()
    names = NpzArray(file, CLASSES)
    if names.dtype.kind != "U" or len(names.shape) != 1 or not count <= len(names) <= MOST_IDS:
        return ()
    if names.dtype.itemsize > _LONGEST_NAME:
        return ()
    found = tuple(str(names[index]) for index in range(len(names)))
    return found if len(set(found)) == len(found) else ()


def members(file: Path) -> set[str]:
    """Names of the arrays in an npz file.

    Raises:
        MissingInputError: there is no such file.
        DataError: it is no zip.
    """
    if not file.exists():
        raise MissingInputError(f"{file}: there is no such file")
    if not is_plain_file(file):
        raise DataError(f"{file}: cannot be read as an npz (no plain file)")
    with _odd_zips(file), zipfile.ZipFile(file) as archive:
        return {name.removesuffix(".npy") for name in archive.namelist()}


@contextmanager
def _odd_zips(file: Path) -> Iterator[None]:
    """What can be wrong with a zip (damaged, encrypted, packed by methods that Python lacks) as a DataError."""
    try:
        yield
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError) as error:
        raise DataError(f"{file}: cannot be read as an npz ({first_line(error)})") from None


def _header(member: IO[bytes]) -> bytes:
    """The header of an array, cut off where it declares itself longer than any that is read."""
    start = member.read(_LONGEST_START)
    length = int.from_bytes(start[8:10] if start[6:7] == b"\1" else start[8:12], "little")
    return start + member.read(min(length, _LONGEST_HEADER))


class NpzArray:
    """One array of an npz file, read row by row: mapped where it is stored as it is, else as a stream.

    A stream goes forward only: reading a row behind the last one begins it again.

    Raises:
        MissingInputError, DataError: the file or the array is not there, or holds Python objects.
    """

    def __init__(self, file: Path, name: str) -> None:
        self.file, self.name = file, name
        if name not in members(file):
            raise DataError(f"{file}: holds no array {name}; an npz of images keeps them in {IMAGES}")
        with _odd_zips(file), zipfile.ZipFile(file) as archive, archive.open(f"{name}.npy") as member:
            self.shape, self.dtype, self._header = self._read_header(io.BytesIO(_header(member)))
        self._rows: np.ndarray | _Stream | None = None

    def _read_header(self, member: IO[bytes]) -> tuple[tuple[int, ...], np.dtype, int]:
        """Shape, dtype and the header's length."""
        try:
            version = np.lib.format.read_magic(member)
            read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
            shape, is_fortran, dtype = read(member)
        except (ValueError, KeyError, EOFError) as error:
            raise DataError(f"{self.file}: its array {self.name} cannot be read ({first_line(error)})") from None
        if is_fortran or dtype.hasobject:
            raise DataError(f"{self.file}: its array {self.name} is no plain C-ordered array of numbers")
        return shape, dtype, member.tell()

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int) -> np.ndarray:
        """Row `index`; raises DataError where the file is damaged."""
        try:
            if self._rows is None:
                self._rows = self._opened()
            return np.asarray(self._rows[index])
        except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise DataError(f"{self.file}: image {index} cannot be read ({error}); the file is damaged") from None

    def _opened(self) -> np.ndarray | _Stream:
        archive = zipfile.ZipFile(self.file)
        member = archive.getinfo(f"{self.name}.npy")
        if member.compress_type != zipfile.ZIP_STORED:
            return _Stream(archive.open(member), self._header, self.shape[1:], self.dtype)
        with archive, self.file.open("rb") as raw:
            raw.seek(member.header_offset)
            name, extra = _LOCAL_HEADER.unpack(raw.read(_LOCAL_HEADER.size))
        data = member.header_offset + _LOCAL_HEADER.size + name + extra
        return np.memmap(self.file, self.dtype, "r", data + self._header, self.shape)

    def __getstate__(self) -> dict[str, object]:
        """Without what is open: a worker opens its own."""
        return {**self.__dict__, "_rows": None}


@dataclass(frozen=True)
class _Stream:
    """Rows of a compressed array."""

    member: IO[bytes]
    header: int
    shape: tuple[int, ...]
    """Of a row."""
    dtype: np.dtype

    def __getitem__(self, index: int) -> np.ndarray:
        size = math.prod(self.shape) * self.dtype.itemsize
        self.member.seek(self.header + index * size)
        return np.frombuffer(self.member.read(size), self.dtype).reshape(self.shape)
