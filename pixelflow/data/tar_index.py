"""What lies where in a tar of samples: found once without unpacking anything, kept in a file, read by offset."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from pixelflow.core.classes import in_order, is_number
from pixelflow.data.tar_scan import NOWHERE, scan
from pixelflow.system import decoding, kept_open
from pixelflow.system.errors import CannotWriteError, DataError, MissingInputError
from pixelflow.system.files import read_bytes, write_bytes, writing
from pixelflow.system.sealed_arrays import check_safetensors, parsing, seal_safetensors

logger = logging.getLogger(__name__)

_VERSION = "3"
"""Of the index; another one is made anew."""
_LARGEST_INDEX = 1 << 33
"""Bytes of an index."""
_NAMED = 3
"""Refused members that the log names."""


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
        self.state = self._state()
        """Size and time of the shard, by which a change is noticed."""
        known = self._read()
        self.is_new = known is None
        """Whether the shard had to be looked through."""
        told, tensors = self._make() if known is None else known
        self.left_out: Mapping[str, int] = json.loads(told["left_out"])
        """Members that are not read: kind -> number."""
        self._suffixes: list[str] = json.loads(told["suffixes"])
        self._kinds: NDArray[np.int64] = tensors["kinds"]
        self.images: NDArray[np.int64] = tensors["images"]
        """(n 2) offset and size"""
        self.texts: NDArray[np.int64] = tensors["texts"]
        """(n 2) likewise; offset -1 where there is none"""
        self.tables: NDArray[np.int64] = tensors["tables"]
        """(n 2) likewise"""
        self.labels: NDArray[np.int64] = tensors["labels"]
        """(n), -1 where there is none"""
        self.names: list[str] = json.loads(told["names"])
        """What the labels stand for, where they are places in this list; empty where all are numbers themselves."""

    def __len__(self) -> int:
        return len(self.labels)

    def key(self, place: int) -> str:
        """What the members of a sample have in common; for messages."""
        return self._keys[place] if place < len(self._keys) else f"sample {place}"

    def name(self, place: int) -> str:
        """A name that ends as that of a sample's image does."""
        return f"image{self._suffixes[int(self._kinds[place])]}"

    @cached_property
    def classes(self) -> dict[int, str]:
        """What each label that is there stands for: its name, else the number itself."""
        there = np.unique(self.labels[self.labels >= 0]).tolist()
        return {label: self.names[label] if self.names else str(label) for label in there}

    @cached_property
    def _keys(self) -> list[str]:
        return load(read_bytes(self._file, _LARGEST_INDEX))["keys"].tobytes().decode().split("\n")

    def content(self, part: NDArray[np.int64]) -> bytes:
        """What lies at an offset and size of the shard; shorter if the shard is."""
        return kept_open.read(self.there(), self.state, int(part[0]), int(part[1]))

    def there(self) -> Path:
        """The shard as a file of this machine."""
        return self.shard

    def _state(self) -> str:
        return _state(self.shard)

    def _read(self) -> _Content | None:
        """What an earlier run found, if it is about the shard as it is."""
        if not self._file.exists():
            return None
        try:
            content = read_bytes(self._file, _LARGEST_INDEX)
            told = check_safetensors(content, str(self._file))
            if told.get("state") != self.state or told.get("version") != _VERSION:
                return None
            with parsing(f"{self._file}: is damaged"):
                tensors = load(content)
                kinds, names = json.loads(told["suffixes"]), json.loads(told["names"])
                if not _is_sound(tensors, _bytes(self.shard), len(kinds), len(names)):
                    raise DataError(f"{self._file}: is damaged (it does not fit the shard)")
                count, refused = int(told["count"]), [str(one) for one in json.loads(told["refused"])]
        except (DataError, MissingInputError) as error:
            logger.warning("%s; the shard is looked through again", error)
            return None
        del tensors["keys"]
        _warn(self.shard, count, refused)
        return told, tensors

    def _make(self) -> _Content:
        found = scan(self.there())
        kept = {key: sample for key, sample in found.samples.items() if sample.image != NOWHERE}
        samples = list(kept.values())
        suffixes = sorted({sample.suffix for sample in samples})
        names, labels = _numbered([sample.label for sample in samples])
        tensors = {
            "images": np.array([sample.image for sample in samples], np.int64).reshape(-1, 2),
            "texts": np.array([sample.text for sample in samples], np.int64).reshape(-1, 2),
            "tables": np.array([sample.table for sample in samples], np.int64).reshape(-1, 2),
            "labels": labels,
            "kinds": np.array([suffixes.index(sample.suffix) for sample in samples], np.int64),
        }
        keys = np.frombuffer("\n".join(kept).encode(), np.uint8)
        told = {
            "version": _VERSION,
            "state": self.state,
            "count": str(found.count),
            "refused": json.dumps(found.refused),
            "left_out": json.dumps(found.left_out),
            "suffixes": json.dumps(suffixes),
            "names": json.dumps(names),
        }
        _write(self._file, seal_safetensors(save({**tensors, "keys": keys}, metadata=told)))
        _warn(self.shard, found.count, found.refused)
        return told, tensors


_Content = tuple[Mapping[str, str], Mapping[str, np.ndarray]]
"""What an index tells, and its tensors."""


def _numbered(labels: list[str | None]) -> tuple[list[str], NDArray[np.int64]]:
    """`TarIndex.names`, and the labels as numbers (n): themselves if all are, else places among the names."""
    there = {label for label in labels if label is not None}
    if all(is_number(label) and int(label) < 1 << 63 for label in there):
        return [], np.array([-1 if label is None else int(label) for label in labels], np.int64)
    names = in_order(there)
    place = {name: number for number, name in enumerate(names)}
    return list(names), np.array([-1 if label is None else place[label] for label in labels], np.int64)


def _is_sound(tensors: Mapping[str, np.ndarray], whole: int, kinds: int, names: int) -> bool:
    """Whether an index names only what lies within a shard of so many bytes, and nothing too large to be read."""
    count = len(tensors["labels"])
    for name in ("images", "texts", "tables"):
        parts = tensors[name]
        if parts.shape != (count, 2) or parts.dtype != np.int64:
            return False
        if (parts < (-1, 0)).any() or (parts[:, 1] > min(whole, decoding.LARGEST_FILE)).any():
            return False
    own, labels = tensors["kinds"], tensors["labels"]
    if names and (labels >= names).any():
        return False
    return own.shape == labels.shape == (count,) and bool(((own >= 0) & (own < kinds)).all())


def _bytes(shard: Path) -> int:
    """Of a shard; of one that is not on this machine now no file tells."""
    return shard.stat().st_size if shard.exists() else decoding.LARGEST_FILE


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
