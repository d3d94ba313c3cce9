"""Files that are read in many places, kept open: opening one on a network disk takes longer than reading a picture."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from io import BufferedReader
from pathlib import Path

from pixelflow.system.files import opened

_MOST = 64
"""Files at a time; each costs a descriptor, of which a process usually has 1,024."""
_open: OrderedDict[tuple[Path, str], BufferedReader] = OrderedDict()
_lock = threading.Lock()


def read(file: Path, state: str, offset: int, size: int) -> bytes:
    """What lies at an offset of a file; shorter where the file is.

    Args:
        state: tells the file from another one that once lay or will lie there.

    Raises:
        OSError, MissingInputError, DataError: it cannot be read.
    """
    if not hasattr(os, "pread"):
        with opened(file) as reader:
            reader.seek(offset)
            return reader.read(size)
    with _lock:
        if (file, state) not in _open:
            _open[file, state] = opened(file)
        _open.move_to_end((file, state))
        while len(_open) > _MOST:
            _open.popitem(last=False)[1].close()
        # A forked process shares the descriptor, whose place this leaves alone.
        return os.pread(_open[file, state].fileno(), size, offset)
