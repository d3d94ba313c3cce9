"""Reading what is a file and nothing else; writing so that a crash, a kill or a full disk never leaves half of one."""

from __future__ import annotations

import errno
import glob
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from pixelflow.system.errors import CannotWriteError, DataError, MissingInputError, UsageError

LOCK = ".lock"
"""File in a folder whose lock keeps other processes out of it."""


def at_home(path: Path) -> Path:
    """The path with ``~`` or ``~user`` at its beginning written out; raises ValueError where there is no such home."""
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError(f"{path}: {path.parts[0]} stands for a home folder, and there is none of this name") from None


@contextmanager
def writing(target: Path, kept: str = "") -> Iterator[None]:
    """Turn what the system says against writing `target` into a CannotWriteError; `kept` says what is not lost."""
    try:
        yield
    except OSError as error:
        raise CannotWriteError(f"{target}: cannot be written ({error.strerror or error}){kept}") from None


def opened(path: Path) -> BufferedReader:
    """A regular file, to be read; whatever else may bear its name is refused, and nothing is waited for.

    Raises:
        MissingInputError: there is no such file, or it may not be read.
        DataError: it is a folder, a pipe, a device or a link that leads to itself.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except (FileNotFoundError, NotADirectoryError):
        raise MissingInputError(f"{path}: there is no such file") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        if getattr(error, "errno", None) == errno.ELOOP:
            raise DataError(f"{path}: is a link that leads to itself") from None
        raise MissingInputError(f"{path}: cannot be read ({reason})") from None
    if not stat.S_ISREG(mode := os.fstat(descriptor).st_mode):
        os.close(descriptor)
        what = "a folder" if stat.S_ISDIR(mode) else "a pipe or a socket" if _is_stream(mode) else "a device"
        raise DataError(f"{path}: is {what}, not a file")
    return os.fdopen(descriptor, "rb")


def _is_stream(mode: int) -> bool:
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def read_bytes(path: Path, largest: int) -> bytes:
    """The content of a regular file of at most `largest` bytes.

    Raises:
        MissingInputError, DataError: as `opened`; or it is larger, or the disk fails.
    """
    with opened(path) as file:
        try:  # as many as there are: what is asked for is taken from the memory before it is read
            content = file.read(min(largest, os.fstat(file.fileno()).st_size) + 1)
            while len(content) <= largest and (more := file.read(1 << 20)):  # of files that grow, or tell no size
                content += more
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    if len(content) > largest:
        raise DataError(f"{path}: is larger than {largest:,} bytes, more than such a file may have")
    return content


def read_end(path: Path, most: int) -> bytes:
    """The last `most` bytes of a regular file; raises as `opened`."""
    with opened(path) as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - most))
        return file.read(most)


def opened_to_add(path: Path) -> BinaryIO:
    """A regular file, new or not, to be written on at its end.

    Raises:
        CannotWriteError: the system refuses, or it is something that one might wait for.
    """
    with writing(path):
        if path.exists() and not path.is_file():
            raise OSError(errno.EINVAL, "it is no file")
        return path.open("ab", buffering=0)


def is_plain_file(path: Path) -> bool:
    """Whether it is a file, or a link to one, and no pipe or device, whose reading may never end."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def is_free(folder: Path) -> bool:
    """Whether nothing is in a folder, but for what is hidden: a kill may leave a draft or a lock."""
    return not folder.is_dir() or all(path.name.startswith(".") for path in folder.iterdir())


def check_writable(place: Path, option: str = "--out") -> None:
    """Raise CannotWriteError, before work that would be lost, if `place` is where no file or folder can be made.

    What is there already and is no folder is left to whoever writes it.
    """
    if place.exists() and not place.is_dir():
        return
    there = next(path for path in (place, *place.absolute().parents) if path.exists())
    with writing(place, f"; choose another {option}"), tempfile.TemporaryFile(dir=there):
        pass


def check_free(place: Path, option: str = "--out") -> None:
    """Raise CannotWriteError if there is a file, or a folder with anything in it: what is somebody's is not replaced.

    A device or pipe, such as ``/dev/stdout``, can be written into.
    """
    if place.is_file():
        raise CannotWriteError(f"{place}: is there already, and nothing is replaced; choose another {option}")
    if not is_free(place):
        raise CannotWriteError(f"{place}: is not empty, and nothing is replaced; choose another {option}")
    check_writable(place, option)


def free_name(file: Path) -> Path:
    """The file's own name, or with -2, -3 ... behind its stem the first that nothing has.

    Raises:
        CannotWriteError: nothing can be made there.
    """
    number, free = 1, file
    while free.exists() or free.is_symlink():
        number += 1
        free = file.with_stem(f"{file.stem}-{number}")
    check_writable(free)
    return free


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
    draft = draft_of(path)
    with writing(path):
        try:
            write_through(draft, content)
            draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def draft_of(path: Path) -> Path:
    """What becomes `path` when it is whole; a kill leaves it behind, for `remove_drafts`."""
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def remove(path: Path) -> None:
    """Remove a file, a folder with all that is in it, or a link, but never what a link leads to."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def remove_drafts(folder: Path, name: str = "*") -> None:
    """Remove the drafts in a folder, of all files or of `name`, whose processes have ended."""
    for draft in folder.glob(f".{name if name == '*' else glob.escape(name)}.*.part"):
        process = draft.name.split(".")[-2]
        if process.isdigit() and not _lives(int(process)):
            with writing(draft):
                remove(draft)


def _lives(process: int) -> bool:
    """Whether this system runs a process of this number, other than this one; where it cannot be asked, it does not."""
    if process == os.getpid() or os.name != "posix":
        return False
    try:
        os.kill(process, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True


def write_through(path: Path, content: bytes) -> None:
    """Write a new file and wait until the disk has it; what bears its name, such as a link, goes before."""
    path.unlink(missing_ok=True)
    with path.open("xb") as file:
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
    with locked_if_free(folder / LOCK) as is_mine:
        if not is_mine:
            raise UsageError(f"{folder}: {refusal}")
        yield


@contextmanager
def locked_if_free(path: Path) -> Iterator[bool]:
    """Whether this process holds the lock `path` until the end of the block, or another does; nobody waits.

    It is a lock of the system and not the file itself: it ends with this process at once, however that ends, since
    neither forked nor spawned children (those that read data) inherit it.

    Raises:
        CannotWriteError: the file cannot be made, or its file system has no locks.
    """
    lock = FileLock(path, blocking=False, thread_local=False, fallback_to_soft=False)
    is_mine = True
    with writing(path):
        try:
            lock.acquire()
        except Timeout:
            is_mine = False
    try:  # what the holder of the lock cannot write is no fault of the lock's
        yield is_mine
    finally:
        if is_mine:
            lock.release()
