"""Captions as a frozen encoder gives them, kept on disk so that training need not load the encoder.

A folder holds what one encoder made of captions: ``encoder.json``, which says what it is, and safetensors shards with
``keys`` (k 32), the SHA-256 of each caption's UTF-8; ``ends`` (k), behind the last token of each; and ``states``
(tokens dim), one caption after the other. A shard is named by its keys, written in one step and never changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from pixelflow.core.errors import DataError
from pixelflow.core.files import write_bytes, write_text, writing

_ENCODER = "encoder.json"
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

    def __deepcopy__(self, memo: dict[int, Any]) -> TokenCache:
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
        self.keys: NDArray[Any] = np.frombuffer(self._tensor("keys").numpy().tobytes(), _KEY)
        self._ends = [0, *self._tensor("ends").tolist()]

    @cached_property
    def _states(self) -> Tensor:
        return self._tensor("states")

    def states_of(self, place: int) -> Tensor:
        """(m dim)"""
        return self._states[self._ends[place] : self._ends[place + 1]]

    def _tensor(self, name: str) -> Tensor:
        """A tensor of the file, mapped into memory."""
        try:
            with safe_open(self.path, framework="pt") as file:
                tensor: Tensor = file.get_tensor(name)
                return tensor
        except (SafetensorError, OSError) as error:
            raise DataError(
                f"{self.path}: cannot be read ({error}); delete it and run pixelflow cache-text again"
            ) from None


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
    write_bytes(folder / f"{hashlib.sha256(keys).hexdigest()[:16]}.safetensors", save(tensors))


def create(folder: Path, encoder: Mapping[str, Any]) -> None:
    """Make a folder for what `encoder` describes, if it is not there; raises CannotWriteError."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / _ENCODER, json.dumps(encoder, indent=1, sort_keys=True))


def encoders(root: Path) -> list[dict[str, Any]]:
    """What the folders below `root` say of their encoders; raises DataError."""
    found = []
    for path in sorted(root.glob(f"*/{_ENCODER}")):
        try:
            found.append(dict(json.loads(path.read_text("utf-8"))))
        except (OSError, ValueError, TypeError):
            raise DataError(f"{path}: is damaged; delete its folder and run pixelflow cache-text again") from None
    return found
