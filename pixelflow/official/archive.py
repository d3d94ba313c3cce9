"""Reading the tensors of a ``torch.save`` file without running anything that is in it.

The file is a zip archive of one pickle and the tensors' bytes. The pickle may name any function of any module to be
called, which is how such files attack. Here no name is ever looked up: a handful that tensors need are answered by
this module, and every other becomes a `Placeholder`, which takes whatever it is given and does nothing.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import zipfile
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pixelflow.system.errors import DataError, MissingInputError
from pixelflow.system.files import opened

_DTYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


_KEEPING = ("PUT", "BINPUT", "LONG_BINPUT")
_GATHERING = ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "FROZENSET")
"""Instructions that make what is hashed by all of its members."""
_FILLING = {"SETITEM": slice(1, 2), "SETITEMS": slice(1, None, 2), "DICT": slice(1, None, 2), "ADDITEMS": slice(None)}
"""Instructions that put keys into a table, and which of what they take from the stack are keys."""

_LONGEST_PICKLE = 2**28
"""Bytes; the description of a training checkpoint of 28 blocks has about 300,000."""


class Placeholder:
    """Stands for every object that is no tensor; whatever a pickle does to it is ignored."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        pass

    def __call__(self, *args: object, **kwargs: object) -> Placeholder:
        return self

    def __setstate__(self, state: object) -> None:
        pass

    def __setitem__(self, key: object, value: object) -> None:
        pass

    def append(self, value: object) -> None:
        pass

    def extend(self, values: object) -> None:
        pass

    def add(self, value: object) -> None:
        pass


@dataclass(frozen=True, eq=False)  # compared by identity: a pickle may put anything into its fields
class StoredTensor:
    """A tensor that lies in the archive and is not read yet."""

    key: str
    dtype: torch.dtype
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class _Storage:
    key: str
    dtype: torch.dtype


class _Reader(pickle.Unpickler):
    """Unpickles containers, numbers, text and references to stored tensors; all else as placeholders."""

    def find_class(self, module: str, name: str) -> object:
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        known = {
            "collections.OrderedDict": OrderedDict,
            "torch._utils._rebuild_tensor_v2": self._tensor,  # bound methods, which a pickle cannot alter
            "torch._utils._rebuild_parameter": self._parameter,
        }
        return known.get(f"{module}.{name}", Placeholder)

    def persistent_load(self, pid: tuple[object, ...]) -> _Storage:
        _, dtype, key, *_ = pid
        if not isinstance(dtype, torch.dtype) or not isinstance(key, str):
            raise pickle.UnpicklingError("a storage of an unknown type")
        return _Storage(key, dtype)

    def _tensor(
        self, storage: _Storage, offset: int, shape: Sequence[int], stride: Sequence[int], *_: object
    ) -> StoredTensor:
        return StoredTensor(storage.key, storage.dtype, int(offset), tuple(map(int, shape)), tuple(map(int, stride)))

    def _parameter(self, data: object, *_: object) -> StoredTensor | Placeholder:
        return data if isinstance(data, StoredTensor) else Placeholder()


def _check(content: bytes) -> None:
    """Raise UnpicklingError for a pickle whose few bytes would take any amount of memory, time or depth to be read.

    An object may be kept under a number, and the unpickler has room for all numbers up to the largest. Real pickles
    count, so that a number never exceeds that of the instructions before it.
    A tuple of twice the same tuple of twice the same tuple, and so on, takes twice the time to be hashed for each of
    them, as it is where it is a key. So the instructions are followed with what each object on the stack would cost.
    Large integers and tuples can be chosen so that all have one hash, and a table of n such keys takes n squared steps;
    the tables of real pickles have text and small numbers as keys.
    """
    chosen = 0
    stack: list[_Cost | None] = []
    kept: dict[int, _Cost] = {}
    for instructions, (instruction, argument, _) in enumerate(pickletools.genops(content)):
        name, number = instruction.name, argument if isinstance(argument, int) else len(kept)
        if name in _KEEPING and number > instructions:
            raise pickle.UnpicklingError("it asks for memory without end")
        if name in (*_KEEPING, "MEMOIZE"):
            kept[number] = stack[-1] or _LIGHT
        else:
            is_large = isinstance(argument, int) and abs(argument) > _SMALL_NUMBERS
            given = kept.get(number, _LIGHT) if "GET" in name else _CHOSEN if is_large else _LIGHT
            chosen += _follow(stack, instruction, given)
            if chosen > _MOST_CHOSEN:
                raise pickle.UnpicklingError("it asks for time without end")


class _Cost(NamedTuple):
    """Of hashing or comparing an object."""

    steps: int
    depth: int


_LIGHT = _Cost(1, 1)
_CHOSEN = _Cost(1, 2)
"""Of a number whose hash is not the number itself."""
_MOST = _Cost(1 << 20, 200)
_SMALL_NUMBERS = 2**31
_MOST_CHOSEN = 10_000
"""Keys whose hash can be chosen."""


def _follow(stack: list[_Cost | None], instruction: pickletools.OpcodeInfo, given: _Cost) -> int:
    """Do to a stack of costs (None for a mark) what an instruction does to the stack of objects.

    Returns:
        how many keys, whose hash can be chosen, it puts into a table.
    """
    before, after = instruction.stack_before, instruction.stack_after
    taken: list[_Cost] = []
    if pickletools.stackslice in before:
        while (top := stack.pop()) is not None:
            taken.append(top)
        before = before[: before.index(pickletools.markobject)]
    if before:
        taken += [cost or _LIGHT for cost in stack[-len(before) :]]
        del stack[-len(before) :]
    if instruction.name in _GATHERING:
        given = _Cost(1 + sum(cost.steps for cost in taken), 1 + max((cost.depth for cost in taken), default=0))
        if given.steps > _MOST.steps or given.depth > _MOST.depth:
            raise pickle.UnpicklingError("it asks for time without end")
    if instruction.name == "DUP":
        given = taken[0]
    stack += [None if kind is pickletools.markobject else given for kind in after]
    keys = taken[_FILLING[instruction.name]] if instruction.name in _FILLING else ()
    return sum(key.depth > _LIGHT.depth for key in keys)


class Archive:
    """A ``torch.save`` file, opened; its tensors are read one by one.

    Raises:
        MissingInputError: there is no such file.
        DataError: it is not such a file, or damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(opened(path))
            pickles = [name for name in self._zip.namelist() if name.endswith("/data.pkl")]
            if len(pickles) != 1:
                raise DataError(f"{path}: is a zip archive but not one that torch.save wrote")
            self._prefix = pickles[0].removesuffix("data.pkl")
            content = self._zip.read(self._stored("data.pkl", _LONGEST_PICKLE))
            _check(content)
            self.content: Any = _Reader(io.BytesIO(content)).load()
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from None
        except zipfile.BadZipFile:
            raise DataError(
                f"{path}: is no whole zip archive, so it is cut off, not by torch.save, or by one before torch 1.6"
            ) from None
        except (DataError, MissingInputError):
            raise
        except Exception as error:  # a hostile pickle can raise anything
            raise DataError(f"{path}: its pickle cannot be read ({type(error).__name__}); nothing was run") from None

    def _stored(self, name: str, longest: float = math.inf) -> zipfile.ZipInfo:
        """An uncompressed member, as torch.save writes them; a compressed one could blow up to any size."""
        info = self._zip.getinfo(self._prefix + name)
        if info.file_size > longest:
            raise DataError(f"{self.path}: {info.filename} has {info.file_size:,} bytes; no description of tensors has")
        if info.compress_type != zipfile.ZIP_STORED:
            raise DataError(f"{self.path}: {info.filename} is compressed; torch.save never does that")
        return info

    def tensor(self, stored: StoredTensor) -> Tensor:
        """Read one tensor; raises DataError if its bytes are missing or damaged."""
        try:
            data = bytearray(self._zip.read(self._stored(f"data/{stored.key}")))
            values = torch.frombuffer(data, dtype=stored.dtype) if data else torch.empty(0, dtype=stored.dtype)
            if math.prod(stored.shape) > len(values):
                raise ValueError("larger than its storage")
            return values.as_strided(stored.shape, stored.stride, stored.offset).contiguous()
        except DataError:
            raise
        except Exception as error:
            raise DataError(f"{self.path}: the tensor of storage {stored.key!r} is damaged ({error})") from None

    def tensors(self, state: Mapping[str, StoredTensor]) -> dict[str, Tensor]:
        """Read all tensors of a state dict."""
        return {name: self.tensor(stored) for name, stored in state.items()}


def state_dicts(archive: Archive) -> dict[str, dict[str, StoredTensor]]:
    """Our part ("ema", "model") -> state dict, of a bare state dict or of a training checkpoint.

    A bare one is the released, averaged weights. Of a training checkpoint nothing but the two is looked at.

    Raises:
        DataError: it is neither.
    """
    content = archive.content
    if _is_state(content):
        return {"ema": dict(content)}
    if isinstance(content, dict):
        found = {part: dict(content[part]) for part in ("ema", "model") if _is_state(content.get(part))}
        if found:
            return found
    raise DataError(
        f"{archive.path}: holds neither a state dict (names to tensors) nor a training checkpoint (model, ema)"
    )


def _is_state(value: object) -> bool:
    return (
        isinstance(value, dict)
        and bool(value)
        and all(isinstance(name, str) and isinstance(tensor, StoredTensor) for name, tensor in value.items())
    )
