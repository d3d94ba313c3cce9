"""Files that a command line names, which may be pipes on purpose: ``--prompts <(head captions.txt)``."""

from __future__ import annotations

import os
import select
import stat
import time
from pathlib import Path

from pixelflow.system.errors import DataError

_PATIENCE = 5.0
"""Seconds in which somebody must begin to write into a pipe."""
_PIECE = 1 << 20
"""Bytes that are read at a time: memory is taken for as many, whether they are there or not."""


def read_start(path: Path, most: int) -> bytes:
    """The first `most` bytes of a file, or all that comes through a pipe up to so many.

    Raises:
        OSError: it is not there or cannot be read.
        DataError: it is a pipe into which nobody writes.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        content = bytearray()
        if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            content += _first(descriptor, path)
        if hasattr(os, "set_blocking"):
            os.set_blocking(descriptor, True)
        while len(content) < most and (more := file.read(min(_PIECE, most - len(content)))):
            content += more
    return bytes(content)


def _first(descriptor: int, path: Path) -> bytes:
    """What lies in a pipe; nothing if a writer is there, or was and has written nothing."""
    watched = select.poll()
    watched.register(descriptor, select.POLLIN)
    ends = time.monotonic() + _PATIENCE
    while True:
        has_ended = any(event & select.POLLHUP for _, event in watched.poll(0))
        try:
            content = os.read(descriptor, select.PIPE_BUF)
        except BlockingIOError:  # a writer is there, and is waited for as long as it lives
            return b""
        if content or has_ended:
            return content
        if time.monotonic() > ends:
            raise DataError(f"{path}: is a pipe into which nobody writes")
        time.sleep(0.02)
