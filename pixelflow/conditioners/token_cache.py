"""Captions as a frozen encoder gives them, kept on disk so that training need not load the encoder.

A folder holds what one encoder made of captions: ``encoder.json``, which says what it is, and safetensors shards with
``keys`` (k 32), the SHA-256 of each caption's UTF-8; ``ends`` (k), behind the last token of each; and ``states``
(tokens dim), one caption after the other. A shard is named by its keys, written in one step and never changed.
``sums`` (k 32) are hashes of each caption's states, checked when these are first read; the shard's metadata hold the
format and a hash of all but the states. Shards of format 1 have neither.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from pixelflow.system.errors import DataError, first_line
from pixelflow.system.files import opened, write_bytes, writing
from pixelflow.system.records import Body, FileKind

_ENCODER = "encoder.json"
_AGAIN = "delete it and run pixelflow cache-text again"


def _below_a_key(body: Body) -> Body:
    """Format 1 was the settings alone, which may have a key of any name."""
    return {"encoder": body}


class _Told(BaseModel):
    encoder: dict[str, object]


ENCODER = FileKind(
    "a record of a text encoder", "delete its folder and run pixelflow cache-text again", _Told, (_below_a_key,)
)

_FORMAT, _HASH = "format", "content_sha256"
_NEWEST = 2
_SHARDS = "*.safetensors"
_KEY = np.dtype("S32")
"""NumPy compares such keys byte by byte, all 32 of them."""


def key_of(caption: str) -> bytes:
    """By which a caption is found."""
    return hashlib.sha256(caption.encode()).digest()


class TokenCache:
    """The captions in a folder, which need not exist; their states are mapped into memory, not read.

    Raises:
        DataError: a shard cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._shards = [_Shard(path) for path in sorted(folder.glob(_SHARDS))]
        keys = np.concatenate([np.empty(0, _KEY), *(shard.keys for shard in self._shards)])
        self._order = np.argsort(keys)
        self._sorted = keys[self._order]
        self._firsts = np.cumsum([0, *(len(shard.keys) for shard in self._shards)])

    def __deepcopy__(self, memo: dict[int, object]) -> TokenCache:
        """Itself: nothing in it changes, and it may be larger than the memory."""
        return self

    def __len__(self) -> int:
        return len(self._sorted)

    @property
    def size(self) -> int:
        """Bytes on the disk."""
        return sum(shard.path.stat().st_size for shard in self._shards)

    def find(self, keys: Sequence[bytes]) -> Tensor:
        """The entry of each key (k), -1 where there is none."""
        wanted = np.array(keys, _KEY)
        if not len(self):
            return torch.full((len(wanted),), -1)
        places = np.searchsorted(self._sorted, wanted).clip(max=len(self) - 1)
        return torch.from_numpy(np.where(self._sorted[places] == wanted, self._order[places], -1))

    def read(self, entries: Tensor) -> tuple[Tensor, Tensor]:
        """Entries (b) -> states (b m dim) with zeros behind each caption's end, and mask (b m)."""
        shards = np.searchsorted(self._firsts, entries.numpy(), side="right") - 1
        places = entries.numpy() - self._firsts[shards]
        return padded([self._shards[shard].states_of(place) for shard, place in zip(shards, places, strict=True)])


class _Shard:
    """One file; its states stay on the disk until they are asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        keys, ends = self._tensor("keys"), self._tensor("ends")
        self.keys: np.ndarray = np.frombuffer(keys.numpy().tobytes(), _KEY)
        self._ends = [0, *ends.tolist()]
        self._sums = self._checked_sums(keys, ends)
        self._is_read = np.zeros(len(self.keys), bool)
        """Whether a caption's states were read, and compared with their hash."""
        if ends.shape != self.keys.shape or np.any(np.diff(self._ends) < 0) or self._ends[-1] != len(self._states):
            raise self._damaged("its captions do not end where its states do")

    def _checked_sums(self, keys: Tensor, ends: Tensor) -> bytes | None:
        """The hashes of the captions' states; None in format 1. Raises DataError where the shard is damaged."""
        told = self._metadata()
        if _FORMAT not in told and _HASH not in told:
            return None
        sums = self._tensor("sums")
        if told.get(_HASH) != _digest(told.get(_FORMAT), keys, ends, sums, self._states):
            raise self._damaged("its hash does not fit")
        if told[_FORMAT] != str(_NEWEST):
            raise self._damaged(f"it is of format {told[_FORMAT]}, which this version does not know")
        return sums.numpy().tobytes()

    @cached_property
    def _states(self) -> Tensor:
        return self._tensor("states")

    def states_of(self, place: int) -> Tensor:
        """(m dim); raises DataError where they are not what was written."""
        states = self._states[self._ends[place] : self._ends[place + 1]]
        if self._sums is not None and not self._is_read[place]:
            width = _KEY.itemsize
            if _sum_of(states) != self._sums[width * place : width * (place + 1)]:
                raise self._damaged("the hash of a caption's states does not fit")
            self._is_read[place] = True
        return states

    def _metadata(self) -> Mapping[str, str]:
        with self._opened() as file:
            return dict(file.metadata() or {})

    def _tensor(self, name: str) -> Tensor:
        """A tensor of the file, mapped into memory."""
        with self._opened() as file:
            tensor: Tensor = file.get_tensor(name)
            return tensor

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        try:
            opened(self.path).close()
            with safe_open(self.path, framework="pt") as file:
                yield file
        except (SafetensorError, OSError, ValueError) as error:
            raise self._damaged(f"cannot be read: {first_line(error)}") from None

    def _damaged(self, why: str) -> DataError:
        return DataError(f"{self.path}: is damaged ({why}); {_AGAIN}")


def padded(states: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """States (m_i dim) of several captions as one (b m dim) with zeros behind, and their mask (b m)."""
    lengths = torch.tensor([len(own) for own in states])
    return pad_sequence(list(states), batch_first=True), torch.arange(int(lengths.max())) < lengths[:, None]


def write_shard(folder: Path, states: Mapping[bytes, Tensor]) -> None:
    """Add captions' states (m dim), by their keys; a kill leaves the whole shard or none of it.

    Raises:
        CannotWriteError: the system refuses.
    """
    keys = b"".join(states)
    tensors = {
        "keys": torch.frombuffer(bytearray(keys), dtype=torch.uint8).view(-1, _KEY.itemsize),
        "ends": torch.tensor([len(own) for own in states.values()]).cumsum(0),
        "states": torch.cat(list(states.values())),
    }
    tensors["sums"] = torch.frombuffer(
        bytearray(b"".join(map(_sum_of, states.values()))), dtype=torch.uint8
    ).view(-1, _KEY.itemsize)  # fmt: skip
    number = str(_NEWEST)
    own = _digest(number, tensors["keys"], tensors["ends"], tensors["sums"], tensors["states"])
    content = save(tensors, {_FORMAT: number, _HASH: own})
    write_bytes(folder / f"{hashlib.sha256(keys).hexdigest()[:16]}.safetensors", content)


def _sum_of(states: Tensor) -> bytes:
    """The hash of a caption's states (m dim)."""
    return hashlib.sha256(states.contiguous().view(torch.uint8).numpy().tobytes()).digest()


def _digest(number: str | None, keys: Tensor, ends: Tensor, sums: Tensor, states: Tensor) -> str:
    """The hash of all of a shard but the numbers of its states, whose hashes are `sums`."""
    own = hashlib.sha256(f"{number} {states.dtype} {tuple(states.shape)}".encode())
    for tensor in (keys, ends, sums):
        own.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode() + tensor.numpy().tobytes())
    return own.hexdigest()


def create(folder: Path, encoder: Mapping[str, object]) -> None:
    """Make a folder for what `encoder` describes, if it is not there; raises CannotWriteError."""
    with writing(folder, "; set the conditioner's cache to another folder"):
        folder.mkdir(parents=True, exist_ok=True)
    ENCODER.write(folder / _ENCODER, {"encoder": dict(encoder)})


def encoders(root: Path) -> list[Body]:
    """What the folders below `root` say of their encoders; raises DataError."""
    found = []
    for path in sorted(root.glob(f"*/{_ENCODER}")):
        found.append(ENCODER.read(path)["encoder"])
    return found
