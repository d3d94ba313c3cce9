"""Files of every format that was ever written open, and are continued in the newest one."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from pixelflow.generation.gallery import SAMPLES
from pixelflow.generation.run import Run
from pixelflow.runs.runfolder import RunFolder
from pixelflow.sweep.points.plan import Plan
from tests import looks

FORMAT_1 = Path(__file__).parent / "formats" / "1"


@pytest.fixture
def kept(tmp_path) -> Path:
    """A copy of the files of format 1, with the time that the tar's index knows."""
    copy = shutil.copytree(FORMAT_1, tmp_path / "kept")
    os.utime(copy / "shards" / "a.tar", (1700000000, 1700000000))
    return copy


def test_a_run_of_format_1_opens_and_draws(kept, caplog):
    spec, classes, history, step, _ = looks.run(kept / "run")
    assert (spec["sampling"]["steps"], classes, len(history), step) == (2, tuple("0123456789"), 2, 4)
    assert RunFolder(kept / "run").step_of("best") == 2
    images = Run.open(kept / "run", device="cpu").sample(labels=[3], seed=0)
    assert images.shape == (1, 1, 8, 8)
    assert not caplog.records


def test_a_run_of_format_1_is_trained_further_and_then_of_the_newest(kept, capsys):
    from pixelflow.cli.app import main

    with pytest.raises(SystemExit) as ended:
        main(["train", str(kept / "run" / "spec.yaml"), "training.steps=6", "evaluation.every=null",
              "--out", str(kept)])  # fmt: skip
    assert ended.value.code == 0, capsys.readouterr().err
    run = RunFolder(kept / "run")
    lines = (run.path / "metrics.jsonl").read_text().splitlines()
    assert ["sha256" in json.loads(line) for line in lines] == [False] * 6 + [True] * 2
    assert [line["step"] for line in run.history.lines()] == [1, 2, 2, 3, 4, 4, 5, 6]
    assert run.spec_file.read_text().startswith("# pixelflow format 2")
    assert run.read_spec().training.steps == 6


def test_records_of_format_1_open(kept):
    assert looks.samples(kept / "samples")["labels"] == [3, 1]
    assert [one["metric"] for one in looks.measured(kept / "measured")["results"]][1] == "label_agreement"
    assert looks.statistics(kept)[0]["extractors"]


@pytest.mark.parametrize("number", [1, 2])
def test_former_records_of_samples_call_the_nfe_evaluations(number):
    path = FORMAT_1.parent / str(number) / "samples" / "samples.json"
    written, body = json.loads(path.read_text()), SAMPLES.read(path)
    assert written.get("format", 1) == number
    assert (body["nfe"], "evaluations" in body) == (written["evaluations"], False)
    assert looks.samples(path.parent)["labels"] == [3, 1]


def test_caches_of_format_1_open(kept):
    encoder, _, mask = looks.tokens(kept / "tokens")
    assert encoder["type"] == "t5"
    assert [sum(row) for row in mask] == [3, 1, 2]
    parts, keys = looks.shards(kept / "shards")
    assert keys == ["000000", "000001", "000002"]
    assert parts[3] == [0, 1, 2]


def test_a_sweep_of_format_1_opens(kept):
    plan, rows = looks.sweep(kept / "sweeps")
    assert len(plan["points"]) == len(rows) == 2
    assert all("frechet" in row for row in rows)
    again = Plan.read(kept / "sweeps" / "search")
    again.write(kept / "sweeps" / "search")
    assert looks.sweep(kept / "sweeps") == (plan, rows)


def test_a_run_whose_spec_was_changed_by_hand_says_what_to_do(kept):
    from pixelflow.system.errors import DataError

    run = RunFolder(kept / "run")
    run.write_spec(run.read_spec())
    text = run.spec_file.read_text()
    run.spec_file.write_text(text.replace("steps: 2", "steps: 3"))
    with pytest.raises(DataError, match="delete the lines that begin with '# pixelflow format'"):
        run.read_spec()
    own = [line for line in run.spec_file.read_text().splitlines() if not line.startswith("# ")]
    run.spec_file.write_text("\n".join(own))
    assert run.read_spec().sampling.steps == 3
