"""Importing a plugin under watch, for what no ``except`` can catch.

One that hangs is named after some seconds and given up later. One that ends the process while it is imported
(``os._exit``, a crash of native code) leaves a mark, by which the next command tries it in a process of its own first.
Threads that it starts are remembered by its name; see `pixelflow.cli.leaving`.
"""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from pixelflow.system import terminal
from pixelflow.system.cache import cache_folder
from pixelflow.system.errors import PixelflowError

TIMEOUT_VARIABLE = "PIXELFLOW_PLUGIN_TIMEOUT"
"""Environment variable with the seconds after which a plugin's import is given up."""

_TIMEOUT = 60.0
_PATIENCE = 5.0
"""Seconds after which a plugin that is still being imported is named."""

_ALONE = """
import sys
from importlib.metadata import EntryPoint
try:
    EntryPoint("plugin", sys.argv[1], "pixelflow").load().register_components()
except BaseException:
    pass  # whoever asks will meet it too, and can catch it
sys.__stdout__.write("survived")
sys.__stdout__.flush()
import os
os._exit(0)
"""

started: dict[threading.Thread, str] = {}
"""Threads that plugins started while they were imported, each with its plugin."""


class TookTooLongError(BaseException):
    """Ends an import from outside; no ``Exception``, so that the plugin does not take it for one of its own."""


class EndedProcessError(Exception):
    """A plugin ends the process that imports it."""


@contextmanager
def watched(plugin: str, disable: str) -> Iterator[None]:
    """Name a plugin whose import lasts; give it up after the timeout, where the system has alarms.

    Args:
        plugin: its name for people.
        disable: the environment variable that leaves plugins out.

    Raises:
        TookTooLongError: it was given up.
    """
    limit = timeout()
    before = set(threading.enumerate())

    def name() -> None:
        text = f"still importing plugin {plugin}, for {_PATIENCE:g} s now; {disable}=1 leaves all plugins out"
        terminal.say(f"pixelflow: {text}")

    timer = threading.Timer(_PATIENCE, name)
    timer.daemon = True
    timer.start()
    try:
        with _alarm(limit):
            yield
    except TookTooLongError as error:
        terminal.say(f"pixelflow: plugin {plugin} is left out: {error}")
        raise
    finally:
        timer.cancel()
        started.update((thread, plugin) for thread in threading.enumerate() if thread not in before | {timer})


def timeout() -> float:
    """Seconds after which an import is given up."""
    try:
        return max(0.1, float(os.environ.get(TIMEOUT_VARIABLE, _TIMEOUT)))
    except ValueError:
        return _TIMEOUT


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Raise TookTooLongError in the block after so many seconds; nothing where somebody else uses the alarm."""
    is_possible = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    if not is_possible or signal.getitimer(signal.ITIMER_REAL)[0]:
        yield
        return

    def give_up(number: int, frame: FrameType | None) -> None:
        raise TookTooLongError(f"it has not ended after {seconds:g} s; {TIMEOUT_VARIABLE} sets how long it may take")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)  # again and again, for a module that swallows it
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before if before is not None else signal.SIG_DFL)


@contextmanager
def marked(plugin: str, entry_point: str) -> Iterator[None]:
    """Within, a file tells that this process imports the plugin; it stays only if the process ends in the block.

    Args:
        plugin: its name.
        entry_point: the module, or ``module:attribute``, that is imported.

    Raises:
        EndedProcessError: an earlier process ended so, and one that tried it alone just now did too.
    """
    mark: Path | None = None
    with suppress(OSError, RuntimeError, PixelflowError):  # without a place for marks all else works
        mark = cache_folder("plugins") / f"{_prefix(plugin)}{os.getpid()}"
        left = [old for old in mark.parent.glob(f"{_prefix(plugin)}*") if not _is_alive(old.name.rpartition("-")[2])]
        if left:
            _try_alone(plugin, entry_point)
        for old in left:
            old.unlink(missing_ok=True)
        mark.touch()
    try:
        yield
    finally:
        if mark is not None:
            with suppress(OSError):
                mark.unlink(missing_ok=True)


def _prefix(plugin: str) -> str:
    """Names the plugin and this machine, whose processes alone can be asked for."""
    return f"{hashlib.sha256(f'{plugin}@{socket.gethostname()}'.encode()).hexdigest()[:16]}-"


def _is_alive(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, ValueError, OverflowError):
        return False
    except OSError:
        return True
    return True


def _try_alone(plugin: str, entry_point: str) -> None:
    """Import a plugin in a process of its own; raises EndedProcessError, and says so, unless that comes to its end."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", _ALONE, entry_point]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, env=environment, timeout=timeout(), check=False
        )
    except subprocess.TimeoutExpired:
        why = f"it has not ended after {timeout():g} s"
    else:
        if done.stdout.endswith(b"survived"):
            return
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
        why = f"it ends the process that imports it ({how})"
    terminal.say(f"pixelflow: plugin {plugin} is left out: {why}; mend it or uninstall it")
    raise EndedProcessError(why)
