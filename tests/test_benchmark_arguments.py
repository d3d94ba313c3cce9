"""Every benchmark tells what it is, and says in a line what is wrong with its arguments."""

from __future__ import annotations

import ast
import runpy
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
SCRIPTS = sorted(file.name for file in FOLDER.glob("*.py"))
OPENING = ("solvers", "shapes", "block_cache", "jumps", "throughput", "loader")
"""Those that open what their first argument names."""


def said(monkeypatch, capsys, script: str, *arguments: str) -> tuple[object, str, str]:
    """What it exits with, and both of its streams."""
    monkeypatch.setattr(sys, "argv", [script, *arguments])
    monkeypatch.syspath_prepend(str(FOLDER))
    with pytest.raises(SystemExit) as left:
        runpy.run_path(str(FOLDER / script), run_name="__main__")
    return left.value.code, *capsys.readouterr()


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_is_the_docstring(monkeypatch, capsys, script: str):
    code, out, _ = said(monkeypatch, capsys, script, "--help")
    assert not code
    assert str(ast.get_docstring(ast.parse((FOLDER / script).read_text("utf-8")))) in out


@pytest.mark.parametrize("script", SCRIPTS)
def test_an_unknown_option_is_named(monkeypatch, capsys, script: str):
    code, _, err = said(monkeypatch, capsys, script, "--nonsense")
    assert code == 2
    assert err.splitlines()[-1] == f"{script}: error: unrecognized arguments: --nonsense"


@pytest.mark.parametrize("script", OPENING)
def test_what_is_not_there_is_named(monkeypatch, capsys, script: str):
    code, _, _ = said(monkeypatch, capsys, f"{script}.py", "no/such/place")
    assert "no/such/place" in str(code)
    assert "\n" not in str(code)
