"""Python in processes of their own, without the seconds that each would spend on importing torch.

`run` and `start` are what `subprocess.run` and `subprocess.Popen` are for ``python -m pixelflow ...`` or
``python -c CODE ...``. A server of multiprocessing's has imported every module of pixelflow, and what they import, but
no plugin and no component; a command is a fork of it, so it finds nothing that a test has loaded or patched, and can
be killed, stopped and waited for as any process. Where importing is what is tested, or a stream that is no file,
start Python anew with `subprocess`.

pytest-xdist's workers share one server, which takes seconds to start.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from typing import IO, Any

ROOT = Path(__file__).parents[1]

_FORK = multiprocessing.get_context("forkserver")
_FORK.set_forkserver_preload(["tests.processes", "tests.preloaded"])
_SHARED = "PIXELFLOW_TESTS_SERVER"
"""Environment variable with the address of the server that the process has started which started this one."""


def share() -> None:
    """Start the server, for this process and all those that it starts."""
    if sys.version_info < (3, 14):  # from then on it asks for a key
        forkserver.ensure_running()
        os.environ[_SHARED] = forkserver._forkserver._forkserver_address


def _use_shared() -> None:
    """Have multiprocessing take the server that is shared, where there is one, as its own."""
    server: Any = forkserver._forkserver
    if _SHARED in os.environ and server._forkserver_address is None:
        server._forkserver_address = os.environ[_SHARED]
        server._forkserver_alive_fd = os.open(os.devnull, os.O_RDONLY)  # it ends with whoever has started it
        server.ensure_running = lambda: None


def run(
    *arguments: str,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 300,
    out: Path | None = None,
    err: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Python with these arguments, to its end; its streams can go to files of one's own."""
    process = Process(arguments, cwd or Path.cwd(), dict(os.environ if env is None else env), out=out, err=err)
    out, err = process.communicate(timeout)
    assert process.returncode is not None
    return subprocess.CompletedProcess(list(arguments), process.returncode, out, err)


def start(*arguments: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Process:
    """Python with these arguments, at work."""
    return Process(arguments, cwd or Path.cwd(), dict(os.environ if env is None else env))


def forked(
    target: Callable[..., object], given: Sequence[tuple[object, ...]], seconds: float = 240
) -> list[int | None]:
    """Run a function in a copy of this process for each tuple of arguments, all at a time; returns the exit codes."""
    fork = multiprocessing.get_context("fork")
    started = [fork.Process(target=target, args=own) for own in given]
    for one in started:
        one.start()
    for one in started:
        one.join(seconds)
    return [one.exitcode for one in started]


def popen(
    command: Sequence[str], *, stdin: int, env: Mapping[str, str], stdout: IO[bytes] | None = None, **_: object
) -> Process:
    """``subprocess.Popen([sys.executable, ...], stdin=PIPE, stdout=file, stderr=STDOUT)``, at work.

    Without a file both streams go where this process's file descriptor 1 goes.
    """
    assert command[0] == sys.executable
    assert stdin == subprocess.PIPE
    both = Path("/proc/self/fd/1").resolve() if stdout is None else Path(stdout.name)
    return Process(tuple(command[1:]), Path.cwd(), dict(env), out=both, err=both, is_asked=True)


class Process:
    """A process at work, or its end; both its streams go to files. If it `is_asked`, its input is a pipe."""

    def __init__(
        self,
        arguments: tuple[str, ...],
        cwd: Path,
        environment: dict[str, str],
        *,
        out: Path | None = None,
        err: Path | None = None,
        is_asked: bool = False,
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="process-")
        self._streams = [out or Path(self._folder.name) / "out", err or Path(self._folder.name) / "err"]
        for stream in self._streams:
            stream.touch()
        _use_shared()
        reader, self.stdin = _FORK.Pipe(duplex=False) if is_asked else (None, None)
        self._process = _FORK.Process(target=_be, args=(arguments, cwd, environment, self._streams, reader))
        self._process.start()
        if reader is not None:
            reader.close()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """Its exit code, or minus the signal that ended it; None while it works."""
        return self._process.exitcode

    @property
    def said(self) -> str:
        """All that it has written to its standard error."""
        return self._streams[1].read_text()

    def wait_for(self, text: str, timeout: float = 300) -> None:
        """Until it has said this."""
        until = time.monotonic() + timeout
        while text not in self.said:
            assert self.returncode is None or text in self.said, f"it ended by itself:\n{self.said}"
            assert time.monotonic() < until, f"it has not said {text!r}:\n{self.said}"
            time.sleep(0.02)

    def send_signal(self, number: signal.Signals) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float = 300) -> int:
        """Its exit code, once it has ended; raises `subprocess.TimeoutExpired` if that takes longer."""
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired("python", timeout)
        return self.returncode

    def communicate(self, timeout: float = 300) -> tuple[str, str]:
        """What it wrote to both streams, once it has ended."""
        self.wait(timeout)
        out, err = (stream.read_text() if stream.is_file() else "" for stream in self._streams)
        return out, err


def _be(
    arguments: tuple[str, ...], cwd: Path, environment: dict[str, str], streams: list[Path], stdin: Connection | None
) -> None:
    """Become a Python that was started with these arguments."""
    source = os.open(os.devnull, os.O_RDONLY) if stdin is None else stdin.fileno()
    os.dup2(source, 0)
    os.close(source)
    if stdin is not None:
        sys.stdin = sys.__stdin__ = open(0, closefd=False)  # noqa: SIM115
    for number, stream in enumerate(streams, 1):
        file = os.open(stream, os.O_WRONLY | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    sys.stdout = sys.__stdout__ = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.__stderr__ = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    multiprocessing.set_start_method(None, force=True)  # its own processes start as any Python's
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    first = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    installed = [entry for entry in sys.path if entry.startswith((sys.prefix, sys.base_prefix, "__editable__"))]
    sys.path[:] = ["", *first, str(ROOT), *installed]  # without the folders that pytest put there
    code = _code_of(arguments)
    threading._shutdown()
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        code = 120  # as Python has it
    os._exit(code)


def _code_of(arguments: tuple[str, ...]) -> int:
    """Its exit code, having done what the arguments say."""
    option, what, *rest = arguments
    try:
        if option == "-m":
            sys.argv = [what, *rest]
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        else:
            assert option == "-c"
            sys.argv = ["-c", *rest]
            sys.modules["__main__"] = main = ModuleType("__main__")
            exec(compile(what, "<string>", "exec"), vars(main))
    except SystemExit as stop:
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
            return 1
        return int(stop.code or 0)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0
