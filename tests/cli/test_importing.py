"""Packages that cannot be imported are found, whatever their import does, and the others are tried all the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pixelflow.cli import doctor, importing
from pixelflow.system import distribution

BROKEN = {
    "raises": ("raise ImportError('no such\\nlibrary')", "ImportError: no such library"),
    "exits": ("raise SystemExit(3)", "SystemExit: 3"),
    "aborts": ("import os; os.abort()", "its import ends the process (SIGABRT"),
    "leaves": ("import os; os._exit(0)", "its import ends the process (exit code 0)"),
    "hangs": ("import time; time.sleep(100)", "its import does not end within"),
}


def test_each_failure_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name, (code, _) in BROKEN.items():
        (tmp_path / f"{name}.py").write_text(code)
    (tmp_path / "prints.py").write_text("import sys; print('hello'); print('you', file=sys.stderr)")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path(importing.__file__).parents[2]}")
    monkeypatch.setattr(importing, "_SECONDS", 3)
    found = importing.failures(["prints", *BROKEN, "colorsys"])
    assert set(found) == set(BROKEN)
    for name, (_, said) in BROKEN.items():
        assert said in found[name]


def installed(site: Path, name: str, command: str) -> None:
    folder = site / f"{name}-0.5.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.5.0\n")
    (folder / "entry_points.txt").write_text(f"[console_scripts]\nthing = {command}\n")


def test_the_doctor_goes_on_where_torch_does_not_work(monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setattr(importing, "failures", lambda packages: {"torch": "OSError: libcudart.so.12"})
    doctor.doctor()
    told = capsys.readouterr().out
    assert re.search(r"  torch \S+ DOES NOT WORK: OSError: libcudart.so.12\n", told)
    for title in ("devices", "attention of packed batches", "plugins"):
        assert f"{title}\n  not known, for torch does not work\n" in told


def test_the_other_project_of_this_name_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(tmp_path)
    installed(tmp_path, "pixelflow", "pixelflow.vision:run")
    said = distribution.foreign()
    assert said is not None
    assert said.startswith("pixelflow 0.5.0 is installed, another project")
    assert f"BROKEN: {said}" in doctor._versions({})


def test_this_toolkit_under_its_former_name_is_no_stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(tmp_path)
    installed(tmp_path, "pixelflow", "pixelflow.cli.app:main")
    assert distribution.foreign() is None
