"""Processes of a sweep end with whoever started them, however that ends."""

from __future__ import annotations

import os
import signal
import threading


def end_with_parent() -> None:
    """From now on a thread raises SIGTERM here when standard input closes, which it does when the parent is gone."""
    threading.Thread(target=_wait, daemon=True).start()


def _wait() -> None:
    # Not by sys.stdin, which would be locked meanwhile: a process forked here, such as one that reads data, closes it.
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
