"""Results of another process through memory that both share: written once, and read where they lie.

The memory is a file without a name (``memfd_create``), one a process. It takes nothing of ``/dev/shm``, of which a
container has 64 MB, and no result costs a file descriptor.
"""

from __future__ import annotations

import mmap
import os
import pickle
from collections.abc import Callable
from multiprocessing import reduction
from typing import Any

_SMALL = 1 << 16
"""Bytes of an array up to which it goes along with the message."""


class Slots:
    """Room for the last `count` results of a process; the one before them has been taken in when another is written."""

    def __init__(self, count: int, descriptor: int | None = None) -> None:
        self._count = count
        self._file = os.memfd_create("pixelflow results") if descriptor is None else descriptor
        self._map: mmap.mmap | None = None
        self._first = self._size = self._written = 0

    @staticmethod
    def of(count: int) -> Slots | None:
        """None where the system has no such memory; results then go with the messages as a whole."""
        return Slots(count) if hasattr(os, "memfd_create") else None

    def __reduce__(self) -> tuple[object, ...]:
        """For processes that are not forked."""
        return _reopened, (self._count, reduction.DupFd(self._file))

    def dumps(self, result: object) -> bytes:
        """The message for a result, whose large arrays are put into the memory."""
        arrays: list[memoryview] = []
        body = pickle.dumps(result, protocol=5, buffer_callback=_kept_out(arrays))
        lengths = [array.nbytes for array in arrays]
        if sum(lengths) > self._size:
            self._enlarge(sum(lengths))
        start = offset = self._first + self._written % self._count * self._size
        self._written += 1
        for array in arrays:
            assert self._map is not None
            self._map[offset : offset + array.nbytes] = array
            offset += array.nbytes
        return pickle.dumps((start, lengths, body))

    def loads(self, message: bytes) -> Any:
        """The result; its arrays lie in the memory, and are others when `count` more results have come."""
        offset, lengths, body = pickle.loads(message)
        if lengths and (self._map is None or len(self._map) < offset + sum(lengths)):
            self._map = mmap.mmap(self._file, 0)
        views = []
        for length in lengths:
            assert self._map is not None
            views.append(memoryview(self._map)[offset : offset + length])
            offset += length
        return pickle.loads(body, buffers=views)

    def _enlarge(self, needed: int) -> None:
        """Room behind what is there, for that may not have been read yet."""
        self._first += self._count * self._size
        self._size = 1 << (needed - 1).bit_length()
        os.ftruncate(self._file, self._first + self._count * self._size)
        self._map = mmap.mmap(self._file, 0)

    def close(self) -> None:
        os.close(self._file)


def _kept_out(arrays: list[memoryview]) -> Callable[[pickle.PickleBuffer], bool]:
    """For pickle: whether an array goes along; it is added to `arrays` otherwise."""

    def goes_along(array: pickle.PickleBuffer) -> bool:
        raw = array.raw()
        if raw.nbytes > _SMALL:
            arrays.append(raw)
        return raw.nbytes <= _SMALL

    return goes_along


def _reopened(count: int, handle: Any) -> Slots:
    return Slots(count, handle.detach())
