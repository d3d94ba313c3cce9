"""Sweeps over a run that is there already."""

from __future__ import annotations

import json

import pytest

from pixelflow.cli.app import main
from pixelflow.sweep.points.plan import Plan
from pixelflow.sweep.points.points import read_sweep
from pixelflow.sweep.report.report import write_report
from pixelflow.sweep.work.tasks import tasks_of
from pixelflow.sweep.work.worker import work
from pixelflow.system.errors import SpecError
from tests.conftest import make_run, make_spec

HEAD = """
name: old
run: runs/tiny
set: {evaluation: {images: 12, metrics: [{type: frechet, extractor: {type: pixels_pca, components: 4}}]}}
"""


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "runs" / "tiny", make_spec("image.size=8"))

    def write(text, head=HEAD):
        (tmp_path / "sweep.yaml").write_text(head + text)
        return read_sweep(tmp_path / "sweep.yaml")

    return write


def test_sampling_varies_and_nothing_is_trained(sweep, tmp_path):
    plan, folder = Plan.of(*sweep("axes: {sampling.steps: [1, 2]}")), tmp_path / "sweeps" / "old"
    plan.write(folder)
    assert Plan.read(folder) == plan
    assert plan.trainings == {}
    work(folder, "cpu")
    assert [task.failure for task in tasks_of(plan, folder)] == [None, None]
    assert not (tmp_path / "sweeps" / "trainings").exists()
    report = write_report(plan, folder).with_suffix(".md").read_text()
    assert "2 of 2 points done, from runs/tiny at step 7." in report
    record = json.loads(next((tmp_path / "sweeps/cells").glob("*/evaluation*.json")).read_text())
    assert record["subject"]["step"] == 7


@pytest.mark.parametrize("text", ["axes: {training.steps: [1, 2]}", "points: [{sampling.steps: 1}, {seed: 2}]"])
def test_what_was_trained_cannot_vary(sweep, text):
    with pytest.raises(SpecError, match=r"only sampling\.\* and evaluation\.\* can vary"):
        sweep(text)


def test_a_base_or_a_run(sweep):
    with pytest.raises(SpecError, match="exactly one of 'base'"):
        sweep("axes: {sampling.steps: [1]}", head="name: old\n")


def test_the_commands_show_it(sweep, capsys):
    """A dry run costs no training, and the status has none."""
    sweep("axes: {sampling.steps: [1]}")
    runs = {
        "to do: 0 trainings": ["sweep", "run", "sweep.yaml", "--dry-run"],
        "report.html": ["sweep", "run", "sweep.yaml"],
    }
    for told, command in runs.items():
        with pytest.raises(SystemExit) as stopped:
            main(command)
        assert not stopped.value.code
        assert told in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        main(["sweep", "status", "sweeps/old"])
    assert "1 of 1 tasks are done" in capsys.readouterr().out
