"""Commands under fire, how they end, and what is counted."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import os
import pkgutil
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import NoReturn

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]

TINY = """
name: tiny
image: {size: 16}
data: {type: image_folder, root: pictures}
cascade: {kickoff: 2, patch: 4}
backbone: {type: dit, depth: 1, heads: 2, head_dim: 16}
conditioners: [class_label]
training: {steps: 24, batch_size: 4, learning_rate: 1e-3, log_every: 1, save_every: 2, sample_every: 12, samples: 4,
           threads: 1, ema: 0.9}
sampling: {steps: 2}
evaluation: {images: 8}
"""
"""A training that takes a second after its start, with pictures between its steps."""

ONE_LINE_CODES = frozenset({2, 65, 66, 69, 70, 71, 73, 74, 75, 76, 78, 130})
_MOST_MEMORY = 1 << 30
"""Bytes that a refusal may take above what the process held before."""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    """Its exit code; minus the signal's number where one ended it."""
    said: str
    """Standard output and errors."""
    is_hung: bool = False
    """Whether it had to be ended after its time."""
    memory: int = 0
    """Bytes that it took, at most, above what it began with; 0 where that was not measured."""
    busy: float = 0
    """Seconds of a processor that it took, likewise."""

    @property
    def is_ugly(self) -> bool:
        """Whether it ended with a traceback, as a bug, or by a crash of its own."""
        crashed = self.code in (-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS)
        return "Traceback" in self.said or "this is a bug" in self.said or self.code == 1 or crashed


@dataclass
class Row:
    """One kind of fault; each trial is counted once, under the worst that happened."""

    fault: str
    trials: int = 0
    survived: int = 0
    lost: int = 0
    silent: int = 0
    tracebacks: int = 0
    hangs: int = 0
    notes: list[str] = field(default_factory=list)
    """What happened in the trials that went wrong, or why there were none."""
    seconds: float = 0
    busy: float = 0
    """Seconds of a processor."""

    def count(self, verdict: str, note: str = "") -> None:
        self.trials += 1
        setattr(self, verdict, getattr(self, verdict) + 1)
        if verdict != "survived":
            self.notes.append(f"{verdict}: {' '.join(note.split())[:300]}")

    @property
    def is_clean(self) -> bool:
        return self.survived == self.trials > 0


def verdict_of(ended: Ended, is_right: bool, otherwise: str = "silent") -> str:
    """What a trial counts as: how it ended comes first, then whether the outcome is right."""
    if ended.is_hung or ended.memory > _MOST_MEMORY:
        return "hangs"
    if ended.is_ugly:
        return "tracebacks"
    return "survived" if is_right else otherwise


def refused_in_one_line(ended: Ended) -> bool:
    """Whether a command ended with a code of its own and a line of ours that says why."""
    return ended.code in ONE_LINE_CODES and bool(re.search(r"^pixelflow: \S", ended.said, re.MULTILINE))


def environment(place: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables of a command: our code, one thread, caches of the trial's own."""
    own = {
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "PIXELFLOW_CACHE": str(place / "cache"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return {**os.environ, **own, **(more or {})}


def started(
    arguments: Sequence[str], place: Path, log: Path, more: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """A command as a user starts it, in a process group of its own, with all that it says in a file."""
    with log.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "pixelflow", *arguments],
            cwd=place,
            env=environment(place, more),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


class Copy:
    """Work in a copy of this process, used as a `Popen` is: torch is there already, which saves seconds of start."""

    def __init__(
        self, call: Callable[[], int | None], place: Path, log: Path, more: Mapping[str, str] | None = None
    ) -> None:
        warm()
        self._code: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            os.environ.update(more or {})
            _be(call, place, log)

    def poll(self) -> int | None:
        if self._code is None:
            done, status = os.waitpid(self.pid, os.WNOHANG)
            self._code = os.waitstatus_to_exitcode(status) if done else None
        return self._code

    def wait(self, timeout: float = 600) -> int:
        ends = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > ends:
                raise subprocess.TimeoutExpired("pixelflow", timeout)
            time.sleep(0.005)
        return code

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)


def whole(arguments: Sequence[str]) -> Callable[[], None]:
    """What the process of a command does from its start to its end, for `Copy`."""

    def call() -> None:
        from pixelflow.cli.app import main

        sys.argv = ["pixelflow", *arguments]
        main()

    return call


@functools.cache
def warm() -> None:
    """Import all that commands import when they need it, once for all copies."""
    import pixelflow

    importlib.import_module("torch._dynamo")  # an optimizer does

    for module in pkgutil.walk_packages(pixelflow.__path__, "pixelflow."):
        if "skeleton" not in module.name and "__main__" not in module.name:
            with contextlib.suppress(ImportError):  # of what is optional
                importlib.import_module(module.name)


Process = subprocess.Popen[bytes] | Copy


def ended(process: Process, log: Path, seconds: float = 240) -> Ended:
    """Wait for a command; what hangs is killed with all its children."""
    try:
        code, is_hung = process.wait(seconds), False
    except subprocess.TimeoutExpired:
        code, is_hung = -signal.SIGKILL, True
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return Ended(code, log.read_text(errors="replace"), is_hung)


def run(arguments: Sequence[str], place: Path, more: Mapping[str, str] | None = None, seconds: float = 240) -> Ended:
    """A command from its start to its end."""
    log = place / "said"
    return ended(started(arguments, place, log, more), log, seconds)


def forked(call: Callable[[], int | None], place: Path, seconds: float = 120) -> Ended:
    """What a call does in a copy of this process: torch is there already, so that thousands of trials take minutes.

    The copy works in `place`, has its own process group and its own variables, and says all into a file.
    """
    log = place / "said"
    warm()
    pid = os.fork()
    if pid == 0:
        _be(call, place, log)
    return _awaited(pid, log, seconds)


def _be(call: Callable[[], int | None], place: Path, log: Path) -> NoReturn:
    """In a copy: do nothing but `call`, and end with its code."""
    code = 1
    try:
        _become(place, log)
        code = call() or 0
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else int(left.code is not None)
    except KeyboardInterrupt:
        code = 130
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()
        os._exit(code)


def _become(place: Path, log: Path) -> None:
    os.setsid()
    os.chdir(place)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for number in (1, 2):
        os.dup2(file, number)
    sys.stdout, sys.stderr = (open(number, "w", closefd=False) for number in (1, 2))  # noqa: SIM115
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.environ.update(environment(place))
    limit = _held() + (3 << 30)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _held() -> int:
    """Bytes of address space that this process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def _awaited(pid: int, log: Path, seconds: float) -> Ended:
    ends, is_hung = time.monotonic() + seconds, False
    while True:
        done, status, usage = os.wait4(pid, os.WNOHANG)
        if done:
            break
        if time.monotonic() > ends and not is_hung:
            is_hung = True
            os.killpg(pid, signal.SIGKILL)
        time.sleep(0.005)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    memory = max(0, usage.ru_maxrss - before) << 10
    return Ended(
        os.waitstatus_to_exitcode(status),
        log.read_text(errors="replace"),
        is_hung,
        memory,
        usage.ru_utime + usage.ru_stime,
    )


def command(*arguments: str) -> Callable[[], None]:
    """A command, for `forked`."""

    def call() -> None:
        from pixelflow.cli.app import main

        main(list(arguments))

    return call


def pictures(folder: Path, count: int = 8, classes: Sequence[str] = ("cat", "dog"), seed: int = 0) -> Path:
    """Class folders of small PNGs."""
    random = np.random.default_rng(seed)
    for name in classes:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            pixels = random.integers(0, 255, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index:03}.png")
    return folder


def spec(place: Path, text: str = TINY) -> Path:
    """The tiny spec and its pictures in a folder."""
    place.mkdir(parents=True, exist_ok=True)
    pictures(place / "pictures")
    (place / "tiny.yaml").write_text(text)
    return place / "tiny.yaml"


def digest(*files: Path) -> str:
    """One hash of several files' contents."""
    total = hashlib.sha256()
    for file in files:
        total.update(file.read_bytes())
    return total.hexdigest()


def newest(run_folder: Path) -> Path | None:
    """The newest checkpoint's folder that is not a draft."""
    found = sorted((run_folder / "checkpoints").glob("step-*"))
    return found[-1] if found else None


def weights_of(run_folder: Path) -> str:
    """A hash of all tensors of the newest checkpoint."""
    checkpoint = newest(run_folder)
    assert checkpoint is not None
    return digest(*sorted(checkpoint.glob("*.safetensors")))


def seeds(row: str, count: int) -> Iterator[Random]:
    """A stream of chance for each trial."""
    for trial in range(count):
        yield Random(f"{row} {trial}")
