"""Trainings that the page starts: the ordinary command, each in a process of its own that outlives the page."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from pixelflow.runs.runfolder import RunFolder
from pixelflow.runs.summary import is_training
from pixelflow.system.errors import UsageError
from pixelflow.system.files import opened_to_add, read_end

_LEAVING = 30.0
"""Seconds that a process may take to end once it holds its run no longer."""
_SAID = 4000
"""Characters of a log that are shown."""


class Trainings:
    """By the name of the run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._stopped: set[str] = set()
        """Those that were asked to end, whose processes may take a moment more than their runs."""

    def start(self, spec: Path, name: str) -> str:
        """Train a spec file as the run `name`; returns the command."""
        if (running := self._processes.get(name)) is not None and running.poll() is None and not self._ends(name):
            raise UsageError(f"{name}: is being trained already")
        command = [sys.executable, "-m", "pixelflow", "train", str(spec), "--out", str(self._folder), "--run", name]
        self._folder.mkdir(parents=True, exist_ok=True)
        with opened_to_add(self._log(name)) as log:
            self._stopped.discard(name)
            self._processes[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        return shlex.join(["pixelflow", *command[3:]])

    def stop(self, name: str) -> str:
        """Ask a training that was started here to save and end.

        Raises:
            UsageError: it was started elsewhere, or does not run.
        """
        process = self._processes.get(name)
        if process is None or process.poll() is not None:
            run = RunFolder(self._folder / name)
            if is_training(run):
                raise UsageError(f"{name}: was started elsewhere; stop it there (Ctrl-C saves it)")
            raise UsageError(f"{name}: is not being trained")
        os.kill(process.pid, signal.SIGTERM)
        self._stopped.add(name)
        return f"{name}: saves and ends; Continue goes on with it"

    def _ends(self, name: str) -> bool:
        """Whether the process of a training that was asked to end does so, now that its run is let go."""
        if name not in self._stopped or is_training(RunFolder(self._folder / name)):
            return False
        with suppress(subprocess.TimeoutExpired):
            self._processes[name].wait(_LEAVING)
        return self._processes[name].poll() is not None

    def resume(self, name: str) -> str:
        """Go on with a run by its own spec; returns the command."""
        run = RunFolder(self._folder / name)
        if is_training(run):
            raise UsageError(f"{name}: is being trained already")
        return self.start(run.spec_file, run.path.resolve().name)

    def said(self, name: str) -> str:
        """The end of what the training printed, as a terminal would show it."""
        log = self._log(name)
        if not log.is_file():
            return ""
        text = read_end(log, _SAID).decode("utf-8", "replace")
        return "\n".join(line.rpartition("\r")[2] for line in text.splitlines()).strip()

    def _log(self, name: str) -> Path:
        return self._folder / f".{name}.log"
