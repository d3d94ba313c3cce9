"""The named tensors of one part of a checkpoint: one safetensors file, or several with a share of each tensor.

A tensor that is in several files is cut along its first axis, and whole once they are joined in the files' order.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from pixelflow.system.files import opened, sync

_FILE = re.compile(r"(?P<part>.+?)(-(?P<number>\d+)-of-(?P<count>\d+))?\.safetensors")


@dataclass(frozen=True)
class Share:
    """Which of several files a process writes of each part."""

    index: int = 0
    count: int = 1

    def file_of(self, part: str) -> str:
        return f"{part}.safetensors" if self.count == 1 else f"{part}-{self.index + 1}-of-{self.count}.safetensors"


WHOLE = Share()


def parts_of(files: Collection[str]) -> dict[str, list[str]]:
    """Part -> its files in order, of a checkpoint's files; parts of which some are missing have none."""
    found = dict[str, dict[int, str]]()
    counts = dict[str, int]()
    for name in files:
        if match := _FILE.fullmatch(name):
            found.setdefault(match["part"], {})[int(match["number"] or 1)] = name
            counts[match["part"]] = int(match["count"] or 1)
    return {
        part: [numbered[index] for index in sorted(numbered)] if len(numbered) == counts[part] else []
        for part, numbered in found.items()
    }


def write(path: Path, named: Mapping[str, Tensor]) -> str:
    """Write tensors, down to the disk; returns the file's SHA-256; raises OSError."""
    try:
        save_file(_separate(named), path)
    except SafetensorError as error:  # the Rust side reports a full disk in words only
        raise OSError(str(error)) from None
    sync(path)
    return sha256(path)


def read(paths: Sequence[Path], keep: Callable[[str, Tensor], Tensor]) -> dict[str, Tensor]:
    """What `keep` makes of each tensor, of which one is whole in memory at a time; raises SafetensorError."""
    with ExitStack() as stack:
        files = [stack.enter_context(safe_open(path, framework="pt")) for path in paths]
        holders = dict[str, list[int]]()
        for index, file in enumerate(files):
            for name in file.keys():  # noqa: SIM118 - no dictionary
                holders.setdefault(name, []).append(index)
        kept = dict[str, Tensor]()
        for name, own in holders.items():
            shares = [files[index].get_tensor(name) for index in own]
            kept[name] = keep(name, shares[0] if len(shares) == 1 else torch.cat(shares))
        return kept


def sha256(path: Path) -> str:
    with opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _separate(named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous CPU tensors; tied ones are copied, since safetensors refuses shared memory."""
    separate: dict[str, Tensor] = {}
    taken: set[int] = set()
    for name, tensor in named.items():
        storable = tensor.detach().cpu().contiguous()
        address = storable.untyped_storage().data_ptr()
        separate[name] = storable.clone() if address in taken else storable
        taken.add(address)
    return separate
