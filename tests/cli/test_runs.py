"""Runs as things to look after: a table of them, what tells two apart, removing them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pixelflow.cli.app import main
from pixelflow.runs.summary import differences
from pixelflow.system.files import locked
from tests import processes

KEPT = Path(__file__).parents[1] / "formats" / "1" / "run"


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two runs and a broken one."""
    for name in ("first", "second"):
        shutil.copytree(KEPT, tmp_path / "runs" / name)
    (tmp_path / "runs" / "broken").mkdir()
    (tmp_path / "runs" / "broken" / "spec.yaml").write_text("a: [")
    return tmp_path / "runs"


def told(capsys, *arguments: object, code: int = 0) -> str:
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert (stopped.value.code or 0) == code, captured.err
    return captured.out + captured.err


def test_the_table_has_a_line_for_each_run_and_says_what_is_broken(folder, capsys):
    lines = told(capsys, "runs", folder).splitlines()
    assert lines[0].split() == ["run", "step", "loss", "last", "evaluation", "size"]
    row = lines[1].split("  ")
    assert row[0] == "first"
    assert "4 of 4" in lines[1]
    assert "0.5968" in lines[1]
    assert "frechet, pixels_pca 3.561 at 4" in lines[1]
    assert lines[3].startswith("not readable")
    assert "broken/spec.yaml:1:5" in lines[3]


def test_a_run_that_is_being_trained_is_marked_and_kept(folder, capsys):
    with locked(folder / "first", "busy"):
        assert "4 of 4, training" in told(capsys, "runs", folder).splitlines()[1]
        assert "is training this run" in told(capsys, "rm", folder / "first", "--yes", code=2)
    assert (folder / "first" / "spec.yaml").is_file()


@pytest.mark.parametrize("place", ["nowhere", "runs/first/samples"])
def test_a_folder_without_runs_is_said_to_be_one(folder, capsys, place):
    assert "pixelflow train makes" in told(capsys, "runs", folder.parent / place, code=66)


def test_equal_runs_do_not_differ_and_evaluations_stand_beside_each_other(folder, capsys):
    shown = told(capsys, "diff", folder / "first", folder / "second")
    assert "settings: no difference" in shown
    assert "state: no difference" in shown
    (row,) = (line for line in shown.splitlines() if "pixels_pca: distance (" in line)
    assert row.split()[-2:] == ["3.5606", "3.5606"]


def test_figures_of_different_steps_name_them(folder, capsys):
    shutil.rmtree(folder / "second" / "evaluations" / "step-00000004")
    (row,) = (
        line.split() for line in told(capsys, "diff", folder / "first", folder / "second").splitlines()
        if "pixels_pca: distance (" in line
    )  # fmt: skip
    assert row[-6:] == ["3.5606", "at", "4", "3.5599", "at", "2"]


@pytest.mark.parametrize(
    ("change", "apart"),
    [
        ({"guidance": {"type": "constant", "scale": 3.0}}, "guidance constant 3.0"),
        ({"weights": "raw"}, "weights raw"),
        ({"reference": {"folder": "others", "measured": 1797}}, "reference others 1797"),
    ],
)
def test_figures_that_were_measured_otherwise_do_not_stand_beside_each_other(folder, capsys, change, apart):
    file = folder / "second" / "evaluations" / "step-00000004" / "evaluation.json"
    body = json.loads(file.read_text())
    if "reference" in change:
        body |= change
    else:
        body["results"][0]["recipe"] |= change
    file.write_text(json.dumps(body))
    shutil.rmtree(folder / "second" / "evaluations" / "step-00000002")
    shown = told(capsys, "diff", folder / "first", folder / "second").splitlines()
    rows = [line.split() for line in shown if "pixels_pca: distance (" in line]
    assert [row[-2:] for row in rows] == [["3.5606", "-"], ["-", "3.5606"]]
    assert apart in " ".join(rows[1])


def test_differences_name_the_key_and_both_values(folder, capsys):
    spec = folder / "second" / "spec.yaml"
    text = "".join(line for line in spec.read_text().splitlines(True) if not line.startswith("#"))
    spec.write_text(text.replace("depth: 1", "depth: 3"))
    rows = [line.split() for line in told(capsys, "diff", folder / "first", folder / "second").splitlines()]
    assert ["backbone.depth", "1", "3"] in rows


def test_lists_of_blocks_are_compared_one_by_one_and_others_whole():
    first = {"a": [1, 2], "b": [{"x": 1, "y": 2}], "c": 1}
    second = {"a": [1, 3], "b": [{"x": 1, "y": 3}], "d": 1}
    assert differences(first, second) == [
        ("a", [1, 2], [1, 3]), ("b.0.y", 2, 3), ("c", 1, None), ("d", None, 1),
    ]  # fmt: skip


def test_runs_are_removed_whole_and_only_runs(folder, capsys):
    (folder / "pictures").mkdir()
    assert "is not a run" in told(capsys, "rm", folder / "first", folder / "pictures", "--yes", code=66)
    assert (folder / "first").is_dir()
    (folder / "link").symlink_to(folder / "first")
    assert "is a link" in told(capsys, "rm", folder / "link", "--yes", code=2)
    assert "removed" in told(capsys, "rm", folder / "first", folder / "second", "--yes")
    assert sorted(path.name for path in folder.iterdir()) == ["broken", "link", "pictures"]


def test_a_run_into_which_a_process_draws_is_kept(folder, capsys):
    draft = folder / "first" / "samples" / "drawn" / ".unfinished"
    draft.mkdir(parents=True)
    with locked(draft, "busy"):
        assert f"draws into {draft}" in told(capsys, "rm", folder / "first", "--yes", code=2)
    assert (folder / "first" / "spec.yaml").is_file()


def test_a_run_that_is_named_twice_is_removed_once(folder, capsys):
    shown = told(capsys, "rm", folder / "first", folder / "second" / ".." / "first", "--yes")
    assert shown.count("removed") == 1
    assert not (folder / "first").exists()


def test_where_nobody_can_be_asked_nothing_is_removed(folder, capsys):
    assert "--yes" in told(capsys, "rm", folder / "first", code=2)
    assert (folder / "first").is_dir()


AT_A_TERMINAL = """
import os, pty, sys
ours, theirs = pty.openpty()
os.dup2(theirs, 0)
sys.stdin = open(0)
os.write(ours, sys.argv.pop(1).encode())
from pixelflow.cli.app import main
main()
"""


@pytest.mark.parametrize(("answer", "is_left"), [("n\n", True), ("\x04", True), ("y\n", False)])
def test_it_asks(folder, answer, is_left):
    done = processes.run("-c", AT_A_TERMINAL, answer, "rm", str(folder / "first"))
    assert done.returncode == 0, done.stderr
    assert (folder / "first").exists() is is_left
