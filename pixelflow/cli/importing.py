"""Whether installed packages can be imported: tried in a process of its own, which a broken one may take with it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence

_TRY = """
import importlib, sys
for name in sys.argv[2:]:
    print(f"\\n{sys.argv[1]}{name}", flush=True)
    try:
        if name in ("torchvision", "cleanfid", "open_clip", "transformers"):
            from pixelflow.system import torchvision_compat
            torchvision_compat.make_importable()  # as all of pixelflow does before what imports it
        importlib.import_module(name)
    except BaseException as error:
        print(f"\\n{sys.argv[1]}" + " ".join(f"{type(error).__name__}: {error}".split()), flush=True)
    else:
        print(f"\\n{sys.argv[1]}", flush=True)
"""
_MARK = "pixelflow tries: "
"""Tells what the child says from what packages print while they are imported."""
_SECONDS = 120
_LONGEST = 200

_MODULES = {
    "clean-fid": "cleanfid",
    "open-clip-torch": "open_clip",
    "pillow": "PIL",
    "pyyaml": "yaml",
    "scikit-learn": "sklearn",
}
"""Packages whose module has another name."""


def failures(packages: Sequence[str]) -> dict[str, str]:
    """Package -> why it cannot be imported, of installed packages; those that can are left out."""
    modules = {_MODULES.get(package.lower(), package.replace("-", "_")): package for package in packages}
    left, found = list(modules), {}
    while left:
        tried, crash = _tried(left)
        found.update(tried)
        if crash and len(tried) < len(left):
            found[left[len(tried)]] = crash
        left = left[len(tried) + 1 :]
    return {modules[name]: reason for name, reason in found.items() if reason}


def _tried(modules: Sequence[str]) -> tuple[dict[str, str], str]:
    """Module -> what was wrong, in order, up to the one that ended the process; and how it ended then."""
    command = [sys.executable, "-c", _TRY, _MARK, *modules]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_SECONDS)
    except subprocess.TimeoutExpired as error:
        said = error.stdout or b""
        return dict(_pairs(said if isinstance(said, str) else said.decode(errors="replace"))), (
            f"its import does not end within {_SECONDS} s"
        )
    return dict(_pairs(done.stdout)), _ending(done.returncode, done.stderr)


def _pairs(said: str) -> Iterator[tuple[str, str]]:
    """(module, what was wrong) of all that the child came to an end with."""
    lines = [line.removeprefix(_MARK) for line in said.splitlines() if line.startswith(_MARK)]
    for name, reason in zip(lines[::2], lines[1::2], strict=False):
        yield name, reason if len(reason) <= _LONGEST else f"{reason[:_LONGEST]}..."


def _ending(code: int, said: str) -> str:
    """How a child ended that did not come to its own end."""
    last = next(iter(said.strip().splitlines()[-1:]), "")
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return f"its import ends the process ({how}{': ' * bool(last)}{last[:_LONGEST]})"
