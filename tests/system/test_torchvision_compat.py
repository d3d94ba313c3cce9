"""torchvision imports even where its native operators do not load."""

from __future__ import annotations

import os
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests import processes

USE = "import torchvision; from torchvision.transforms import ToTensor; print(torchvision.__file__)"
CURED = f"from pixelflow.system import torchvision_compat as c; c.make_importable(); {USE}"


@pytest.fixture
def without_operators(tmp_path: Path) -> Path:
    """A folder with the installed torchvision, its native library replaced by one that does not load."""
    origin = find_spec("torchvision").origin
    package = tmp_path / "torchvision"
    package.mkdir()
    for entry in Path(origin).parent.iterdir():
        if entry.name.startswith("_C"):
            (package / entry.name).write_bytes(b"built for another torch")
        elif entry.name != "__pycache__":
            (package / entry.name).symlink_to(entry)
    return tmp_path


def run(code: str, first_on_path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """In a process that has torch, and no torchvision yet."""
    return processes.run("-c", code, env={**os.environ, "PYTHONPATH": str(first_on_path or "")})


def test_the_installed_torchvision_imports_and_keeps_the_operators_it_has():
    asks = "import torch; print('native', torch._C._dispatch_has_kernel_for_dispatch_key('torchvision::nms', 'CPU'))"
    untouched, cured = run(f"{USE}; {asks}"), run(f"{CURED}; {asks}")
    assert cured.returncode == 0, cured.stderr
    assert untouched.returncode or untouched.stdout == cured.stdout


def test_a_torchvision_for_another_torch_is_cured(without_operators: Path):
    broken = run(USE, without_operators)
    assert "torchvision::nms" in broken.stderr, "the fixture should have broken the import"
    cured = run(CURED, without_operators)
    assert cured.returncode == 0, cured.stderr
    assert str(without_operators) in cured.stdout


def test_another_failure_is_told_and_not_cured(tmp_path: Path):
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('CUDA versions differ\\nmore')")
    refused = run(CURED, tmp_path)
    assert "MissingDependencyError: torchvision cannot be imported (CUDA versions differ)" in refused.stderr


def test_without_it_nothing_happens(tmp_path: Path):
    code = "import sys; sys.modules['torchvision'] = None; from pixelflow.system import torchvision_compat as c; "
    done = run(f"{code}c.make_importable(); print('went on')")
    assert done.stdout == "went on\n", done.stderr
