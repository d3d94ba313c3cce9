"""Nothing from data or names controls a terminal, and a terminal that cannot be written changes no exit code."""

from __future__ import annotations

import ast
import logging
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelflow.system import terminal
from pixelflow.system.errors import DataError, SpecError
from pixelflow.system.printing import printable
from tests import processes
from tests.conftest import TINY
from tests.test_structure import FILES, PACKAGE

EVIL = "a\x1b[31mred\n\rpixelflow: ok\u202egnp.\u2028\x07\x9b\udc80"


@given(st.text())
def test_what_is_printable_stays_and_the_rest_is_written_out_once(text):
    shown = printable(text)
    assert not any(ord(one) < 32 or 127 <= ord(one) < 160 for one in shown)
    assert printable(shown) == shown
    shown.encode("utf-8")
    if text.isprintable():
        assert shown == text


def test_directions_separators_and_bytes_that_are_no_text_are_written_out():
    assert printable(EVIL) == "a\\x1b[31mred\\n\\rpixelflow: ok\\u202egnp.\\u2028\\x07\\x9b\\x80"
    assert printable("a\u00a0b, \u4e2d\u6587, \U0001f600") == "a\u00a0b, \u4e2d\u6587, \U0001f600"


def test_an_error_is_one_line_for_each_problem_whatever_it_names():
    assert str(DataError(f"{EVIL}: is bad")).count("\n") == 0
    error = SpecError("first", "sec\nond")
    assert str(error) == "first\nsec\\nond"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize("write", [terminal.say, terminal.tell])
def test_both_streams_are_written_line_by_line(write, capsys):
    write(EVIL, "second")
    captured = capsys.readouterr()
    assert (captured.out + captured.err).splitlines() == [printable(EVIL), "second"]


def test_the_log_is_written_likewise(capsys, monkeypatch):
    monkeypatch.setattr(logging, "lastResort", logging.lastResort)
    terminal.catch_log()
    logger = logging.getLogger("pixelflow.test")
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    logger.warning("unreadable: %s", EVIL)
    assert capsys.readouterr().err.splitlines() == [f"unreadable: {printable(EVIL)}"]


def _prints(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    return ast.unparse(node.func) in ("print", "typer.echo", "typer.secho", "sys.stdout.write", "sys.stderr.write")


def test_nobody_else_prints():
    for file in FILES:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        lines = [node.lineno for node in ast.walk(tree) if _prints(node)]
        assert not lines, f"{file}:{lines}: print through core/terminal.py"


FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_a_full_standard_error_changes_no_exit_code(tmp_path):
    asked = ["-m", "pixelflow", "validate", str(tmp_path / "missing.yaml")]
    assert processes.run(*asked, err=FULL).returncode == 66
    assert processes.run("-m", "pixelflow", "schema", err=FULL).returncode == 0
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    with FULL.open("w") as full:  # once with all that a Python does at its end
        assert subprocess.run([sys.executable, *asked], stderr=full, env=environment).returncode == 66


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["schema"]])
def test_a_full_standard_output_is_one_line(arguments):
    done = processes.run("-m", "pixelflow", *arguments, out=FULL)
    assert done.returncode == 73
    assert [line for line in done.stderr.splitlines() if line.startswith("pixelflow: ")] == done.stderr.splitlines()[
        -1:
    ]
    assert "bug" not in done.stderr
    assert "Traceback" not in done.stderr


def test_names_in_arguments_and_specs_reach_the_terminal_written_out(tmp_path):
    for arguments in (["validate", f"{tmp_path}/x\x1b[31m\nfake"], ["sample", "run", "--no\x1b[31m"], ["x\x1b[2Jy"]):
        done = processes.run("-m", "pixelflow", *arguments)
        assert done.returncode in (2, 66)
        assert "\x1b" not in done.stderr
        assert len(done.stderr.splitlines()) == 1
    spec = tmp_path / "spec.yaml"
    spec.write_text(TINY.replace("data: digits", 'data: "di\\e[31mgits\\nfake"'))
    done = processes.run("-m", "pixelflow", "validate", str(spec))
    assert done.returncode == 78
    assert "\x1b" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
