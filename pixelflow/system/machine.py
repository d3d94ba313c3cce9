"""What the machine refuses (memory, open files, places, streams) is no bug: the same as errors of ours."""

from __future__ import annotations

import errno

from pixelflow.system.errors import CannotWriteError, MissingInputError, OutOfMemoryError, PixelflowError
from pixelflow.system.memory import is_out_of_memory, lack_of_files

_FULL = (errno.ENOSPC, errno.EDQUOT)


def as_ours(error: Exception) -> PixelflowError | None:
    """One line and a code for what is the user's to mend; None for anything else, which is a bug."""
    if isinstance(error, PixelflowError):
        return error
    if is_out_of_memory(error):
        return OutOfMemoryError("out of memory; lower what is done at a time, such as batch_size")
    if not isinstance(error, OSError):
        return None
    if lack := lack_of_files(error):
        return OutOfMemoryError(lack)
    if isinstance(error, FileNotFoundError):
        return MissingInputError(f"{error.filename}: there is no such file or folder")
    if isinstance(error, BrokenPipeError):
        return CannotWriteError("what this writes to was closed")
    if error.filename or error.errno in _FULL:
        return CannotWriteError(f"{error.filename or 'the disk'}: {error.strerror}")
    return None
