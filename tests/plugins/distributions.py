"""Plugins as real distributions: written as files, or installed with pip, and met in a process of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tests import processes

ROOT = Path(__file__).parents[2]

COMMANDS = """
import contextlib, io, json, sys
from pixelflow.cli.app import main
answers = []
for arguments in json.loads(sys.argv[1]):
    code, out, err = 0, io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(arguments)
        except SystemExit as stopped:
            code = stopped.code or 0
    answers.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(answers))
"""

REPORT = """
import json
from pixelflow.core import plugins
from pixelflow.core.registry import registry
plugins.load()
print(json.dumps({
    "components": {f"{kind} {name}": entry.origin for kind, name, entry in registry},
    "failures": {failure.plugin: failure.reason for failure in plugins.failures()},
    "plugins": [plugin.name for plugin in plugins.third_party()],
}))
"""


class Answer(NamedTuple):
    """What a command line left."""

    code: int
    out: str
    err: str


@dataclass
class Site:
    """A folder on the path that holds distributions."""

    path: Path

    def add(self, name: str, code: str | None, entry_point: str | None = None) -> None:
        """A distribution whose entry point `name` leads to a module with `code` (none if it is None)."""
        module = name.replace("-", "_")
        if code is not None:
            (self.path / f"{module}.py").write_text(textwrap.dedent(code))
        self.metadata(f"dist_{module}", f"[pixelflow]\n{name} = {entry_point or module}\n")

    def metadata(self, distribution: str, entry_points: str) -> None:
        folder = self.path / f"{distribution}-1.2.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
        (folder / "entry_points.txt").write_text(entry_points)

    def pixelflow(self, *commands: Sequence[str], cwd: Path | None = None) -> list[Answer]:
        """Several command lines, answered by one process."""
        done = self.run("-c", COMMANDS, json.dumps(commands), cwd=cwd)
        assert done.returncode == 0, done.stderr
        return [Answer(*answer) for answer in json.loads(done.stdout)]

    def run(self, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Python with this folder on its path."""
        return processes.run(*arguments, cwd=cwd, env={**os.environ, "PYTHONPATH": str(self.path)})

    def report(self) -> dict[str, Any]:
        """What a process sees that loads all plugins."""
        done = self.run("-c", REPORT)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


def pip_install(sources: Sequence[Path], target: Path) -> None:
    """Install source trees into a target folder with pip, without network; builds in copies, as it leaves traces."""
    copies = [shutil.copytree(source, target / "build" / source.name) for source in sources]
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    done = subprocess.run([*command, "--target", target, *copies], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
