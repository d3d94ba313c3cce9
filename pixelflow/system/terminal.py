"""The one place that writes to a terminal or a log: nothing that comes from data or names can control either."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from typing import TextIO

from pixelflow.system.errors import CannotWriteError
from pixelflow.system.printing import printable


def tell(*lines: str) -> None:
    """Print a result on standard output; line breaks are between the lines alone.

    Raises:
        CannotWriteError: nobody can read it: the disk is full, the reader is gone.
    """
    try:
        _write(sys.stdout, lines)
    except (OSError, ValueError) as error:
        _give_up("stdout")
        raise CannotWriteError(f"standard output: cannot be written ({_reason(error)})") from None


def say(*lines: str) -> None:
    """Print a message on standard error. Where that cannot be written there is nobody to tell, and work goes on."""
    try:
        _write(sys.stderr, lines)
    except (OSError, ValueError):
        _give_up("stderr")


def be_silent(*lines: str) -> None:
    """Say nothing, in the place of `say`."""


def _write(stream: TextIO | None, lines: Sequence[str]) -> None:
    if stream is None:  # a process without one
        return
    text = "".join(f"{printable(line)}\n" for line in lines)
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def _give_up(name: str) -> None:
    """Lead a stream that fails into nothing, or the interpreter fails again at its end and hides our exit code."""
    setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 - lives as long as the process


def flush() -> str | None:
    """Write what others left in the standard streams; says what is wrong if standard output cannot take it."""
    wrong = None
    for name in ("stdout", "stderr"):
        try:
            if (stream := getattr(sys, name)) is not None:
                stream.flush()
        except (OSError, ValueError) as error:
            _give_up(name)
            wrong = wrong or (f"standard output: cannot be written ({_reason(error)})" if name == "stdout" else None)
    return wrong


class _ToTerminal(logging.Handler):
    """Log records as `say` prints them, one line each."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = printable(record.getMessage())
            trace = logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
        except Exception:
            self.handleError(record)
        else:
            say(text, *trace.splitlines())


def catch_log() -> None:
    """From now on, log records that nobody else handles go through `say`."""
    logging.lastResort = _ToTerminal(logging.WARNING)
