"""Writing files so that a crash, a kill or a full disk never leaves half of one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pixelflow.core.errors import CannotWriteError, UsageError


@contextmanager
def writing(target: Path, kept: str = "") -> Iterator[None]:
    """Turn what the system says against writing `target` into a CannotWriteError; `kept` says what is not lost."""
    try:
        yield
    except OSError as error:
        raise CannotWriteError(f"{target}: cannot be written ({error.strerror or error}){kept}") from None


def write_text(path: Path, text: str) -> None:
    """`write_bytes` of UTF-8 text."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Replace `path` by `content` in one step; whoever reads it sees the old file or the new one.

    A link stays, and the file it leads to is replaced; a device or pipe, such as ``/dev/stdout``, is written into.

    Raises:
        CannotWriteError: the system refuses; the old file is kept.
    """
    with writing(path):
        if path.exists() and not path.is_file() and not path.is_dir():
            with path.open("wb", buffering=0) as file:
                file.write(content)
            return
        path = path.resolve() if path.is_symlink() else path
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    with writing(path):
        try:
            write_through(draft, content)
            draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def write_through(path: Path, content: bytes) -> None:
    """Write a new file and wait until the disk has it."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync(path: Path) -> None:
    """Wait until the disk has a file that somebody else wrote."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Wait until the disk has the folder's entries, where the system can do that."""
    if os.name == "posix":
        sync(path)


@contextmanager
def locked(folder: Path, refusal: str) -> Iterator[None]:
    """Keep other processes out of a folder; the lock ends with the process, however it ends.

    Args:
        refusal: what to say if another process holds it.

    Raises:
        UsageError: another process holds it.
        CannotWriteError: the folder cannot be written.
    """
    import fcntl

    path = folder / ".lock"
    with writing(path):
        file = path.open("w")
    with file:  # what the holder of the lock cannot write is no fault of the lock's
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"{folder}: {refusal}") from None
        yield
