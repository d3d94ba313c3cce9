"""What lies where in a tar of samples: found once without unpacking anything, kept in a file, read by offset.

Members belong together when their names are the same up to the first dot of their last part (the WebDataset
convention): ``train/000017.jpg``, ``train/000017.txt``, ``train/000017.cls``.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import tarfile
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from pixelflow.core.errors import CannotWriteError, DataError, MissingInputError, first_line
from pixelflow.core.files import write_bytes, writing
from pixelflow.data import decoding
from pixelflow.data.captions import MAX_BYTES

logger = logging.getLogger(__name__)

_VERSION = "1"
"""Of the index; another one is made anew."""
_BLOCK = 512
_LARGEST_IMAGE = 1 << 28
"""Bytes of an image; a larger member is refused."""
_LARGEST_LABEL = 64
_LARGEST_HEADER = 1 << 20
_NAMED = 3
"""Refused members that the log names."""
_KEPT = 100
"""Refused members that the index names."""
_NONE = (-1, 0)

Part = tuple[int, int]
"""Offset and size of a member's content."""


@dataclass
class _Sample:
    """The members of one key."""

    image: Part = _NONE
    text: Part = _NONE
    table: Part = _NONE
    label: int = -1


@dataclass
class _Found:
    """All that one shard holds."""

    samples: dict[str, _Sample] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    """The first members that are left alone, with the reason; and what is wrong with the shard itself."""
    count: int = 0
    """Of all that are left alone."""

    def refuse(self, what: str) -> None:
        self.count += 1
        if len(self.refused) < _KEPT:
            self.refused.append(what)


class TarIndex:
    """The samples of one shard that have an image.

    Args:
        folder: where the index is kept; by default beside the shard.

    Raises:
        MissingInputError: there is no such shard.
        DataError: it is no uncompressed tar.
        CannotWriteError: the index cannot be kept.
    """

    def __init__(self, shard: Path, folder: Path | None) -> None:
        self.shard = shard
        self._file = _index_file(shard, folder)
        self.state = _state(shard)
        """Size and time of the shard, by which a change is noticed."""
        known = self._read()
        self.is_new = known is None
        """Whether the shard had to be looked through."""
        tensors = self._make() if known is None else known
        self.images: NDArray[np.int64] = tensors["images"]
        """(n 2) offset and size"""
        self.texts: NDArray[np.int64] = tensors["texts"]
        """(n 2) likewise; offset -1 where there is none"""
        self.tables: NDArray[np.int64] = tensors["tables"]
        """(n 2) likewise"""
        self.labels: NDArray[np.int64] = tensors["labels"]
        """(n), -1 where there is none"""

    def __len__(self) -> int:
        return len(self.labels)

    def key(self, place: int) -> str:
        """What the members of a sample have in common; for messages."""
        return self._keys[place] if place < len(self._keys) else f"sample {place}"

    @cached_property
    def _keys(self) -> list[str]:
        with safe_open(self._file, framework="numpy") as file:
            return file.get_tensor("keys").tobytes().decode().split("\n")

    def content(self, part: NDArray[np.int64]) -> bytes:
        """What lies at an offset and size of the shard; shorter if the shard is."""
        with self.shard.open("rb") as file:
            file.seek(int(part[0]))
            return file.read(int(part[1]))

    def _read(self) -> dict[str, NDArray[Any]] | None:
        """What an earlier run found, if it is about the shard as it is."""
        try:
            with safe_open(self._file, framework="numpy") as file:
                told = file.metadata() or {}
                if told.get("state") != self.state or told.get("version") != _VERSION:
                    return None
                tensors = {name: file.get_tensor(name) for name in ("images", "texts", "tables", "labels")}
        except (OSError, SafetensorError):
            return None
        _warn(self.shard, int(told["count"]), json.loads(told["refused"]))
        return tensors

    def _make(self) -> dict[str, NDArray[Any]]:
        found = scan(self.shard)
        kept = {key: sample for key, sample in found.samples.items() if sample.image != _NONE}
        samples = list(kept.values())
        tensors = {
            "images": np.array([sample.image for sample in samples], np.int64).reshape(-1, 2),
            "texts": np.array([sample.text for sample in samples], np.int64).reshape(-1, 2),
            "tables": np.array([sample.table for sample in samples], np.int64).reshape(-1, 2),
            "labels": np.array([sample.label for sample in samples], np.int64),
        }
        keys = np.frombuffer("\n".join(kept).encode(), np.uint8)
        told = {
            "version": _VERSION,
            "state": self.state,
            "count": str(found.count),
            "refused": json.dumps(found.refused),
        }
        _write(self._file, save({**tensors, "keys": keys}, metadata=told))
        _warn(self.shard, found.count, found.refused)
        return tensors


def _state(shard: Path) -> str:
    try:
        found = shard.stat()
    except OSError as error:
        raise MissingInputError(f"{shard}: cannot be read ({error.strerror}); set data.shards") from None
    return f"{found.st_size} {found.st_mtime_ns}"


def _index_file(shard: Path, folder: Path | None) -> Path:
    if folder is None:
        return shard.with_name(f"{shard.name}.index.safetensors")
    place = hashlib.sha256(str(shard.parent.resolve()).encode()).hexdigest()[:8]  # shards of one name are common
    return folder / f"{shard.name}.{place}.index.safetensors"


def _write(path: Path, content: bytes) -> None:
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, content)
    except CannotWriteError as error:
        raise CannotWriteError(f"{error}; set data.index to a folder for the indices of the shards") from None


def _warn(shard: Path, count: int, refused: list[str]) -> None:
    if count:
        more = f" and {count - _NAMED} more" if count > _NAMED else ""
        logger.warning("%s: %d members are not read: %s%s", shard, count, "; ".join(refused[:_NAMED]), more)


class _Headers(io.FileIO):
    """A file that refuses to be read in large pieces: headers of members say how long they are."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= _LARGEST_HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return super().read(size)


def scan(shard: Path) -> _Found:
    """The members of a shard, by the headers alone; a damaged archive is read as far as it goes.

    Raises:
        DataError: it is no uncompressed tar.
    """
    found, whole = _Found(), shard.stat().st_size
    with _Headers(shard) as file:
        try:
            archive = tarfile.open(fileobj=file, mode="r:")  # noqa: SIM115 - it owns nothing but `file`
        except Exception as error:  # parsers of hostile files raise whatever they run into
            raise DataError(f"{shard}: is no tar, or one that must be unpacked first ({first_line(error)})") from None
        before = -1
        try:
            while (member := archive.next()) is not None:
                if archive.offset <= before:
                    raise tarfile.ReadError("it leads back to what was read")
                before = archive.offset
                archive.members.clear()  # type: ignore[attr-defined]  # or it keeps all of them
                _take(member, file, whole, found)
            file.seek(archive.offset)
            if file.read(_BLOCK) != bytes(_BLOCK):
                raise tarfile.ReadError("no end of the archive")
        except Exception as error:
            found.refuse(f"whatever follows byte {archive.offset} ({first_line(error)})")
    return found


def _take(member: tarfile.TarInfo, file: IO[bytes], whole: int, found: _Found) -> None:
    """Enter a member where it belongs, or among what is refused."""
    if member.isdir():
        return
    name = member.name.encode("utf-8", "backslashreplace").decode().replace("\n", "\\n")
    reason = _objection(member, whole)
    if reason is not None:
        found.refuse(f"{name} ({reason})")
        return
    path = PurePosixPath(name)
    if path.name.startswith("."):
        return
    stem, _, extension = path.name.partition(".")
    sample = found.samples.setdefault(str(path.parent / stem), _Sample())
    extension = extension.lower()
    part = (member.offset_data, member.size)
    if f".{extension}" in decoding.SUFFIXES:
        taken, sample.image = sample.image, part
    elif extension == "txt":
        taken, sample.text = sample.text, part
    elif extension == "json":
        taken, sample.table = sample.table, part
    elif extension == "cls":
        _take_label(name, member, file, sample, found)
        return
    else:
        return  # other members of a sample are other programs' business
    if taken != _NONE:
        found.refuse(f"{name} (there are several of its kind; the last counts)")


def _take_label(name: str, member: tarfile.TarInfo, file: IO[bytes], sample: _Sample, found: _Found) -> None:
    """A class label is small and is read at once; the archive's own place in the file stays as it was."""
    before = file.tell()
    file.seek(member.offset_data)
    text = file.read(min(member.size, _LARGEST_LABEL)).strip()
    file.seek(before)
    if text.isdigit() and int(text) < 1 << 31:
        sample.label = int(text)
    else:
        found.refuse(f"{name} (a label must be a whole number)")


def _objection(member: tarfile.TarInfo, whole: int) -> str | None:
    """Why a member is not read; None if it may be."""
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts:
        return "its path leaves the archive"
    if member.issym() or member.islnk():
        return "a link"
    if not member.isreg() or member.issparse():
        return "a device, pipe or other special file"
    if member.size < 0 or member.offset_data + member.size > whole:
        return f"it declares {member.size} bytes, more than the archive has"
    limit = _LARGEST_IMAGE if path.suffix.lower() in decoding.SUFFIXES else MAX_BYTES
    if path.suffix.lower() in (*decoding.SUFFIXES, ".txt", ".json") and member.size > limit:
        return f"larger than {limit} bytes"
    return None
