"""Memory and open files that run out are the user's to mend: told from a bug by what torch and the system say."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from pixelflow.system.errors import OutOfMemoryError

_SIGNS = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "ALLOC_FAILED",
    "storage size calculation overflowed",
)
"""In messages of CUDA, MPS, torch's CPU allocator (Linux and Windows), the system, cuBLAS, and of sizes beyond all."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory of the machine or its GPU ran out; torch has no one class for it."""
    if isinstance(error, (RuntimeError, OSError)):
        return any(sign in str(error) or sign in str(error).lower() for sign in _SIGNS)
    return isinstance(error, MemoryError)


def lack_of_files(reason: object) -> str | None:
    """What to say if an error, or what is told of one, is that too many files are open; None for any other."""
    code = reason.errno if isinstance(reason, OSError) else None
    signs = [os.strerror(number) for number in (errno.EMFILE, errno.ENFILE)]
    if code in (errno.EMFILE, errno.ENFILE) or any(sign in str(reason) for sign in signs):
        return "too many files are open at a time; raise the limit (ulimit -n 65536) or lower training.workers"
    return None


@contextmanager
def memory_for(what: str, cure: str) -> Iterator[None]:
    """Within, memory that runs out is reported as one line: what it was for, and what to lower.

    Raises:
        OutOfMemoryError: it ran out.
    """
    try:
        yield
    except (MemoryError, RuntimeError, OSError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(f"out of memory {what}; {cure}") from error
