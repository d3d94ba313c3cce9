"""Sweeps over a run that is there already."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from pixelflow.cli.app import main
from pixelflow.official.exchange import import_release
from pixelflow.runs import checkpoint
from pixelflow.runs.runfolder import RunFolder
from pixelflow.sweep.points.plan import Plan
from pixelflow.sweep.points.points import read_sweep
from pixelflow.sweep.report.report import write_report
from pixelflow.sweep.work.tasks import cells_of, tasks_of
from pixelflow.sweep.work.worker import work
from pixelflow.system.errors import MissingInputError, SpecError
from tests.conftest import lively_model, make_run, make_spec
from tests.official.test_exchange import publish

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


def test_an_imported_official_run_is_swept_beside_real_images_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    import_release(publish(tmp_path / "release"), tmp_path / "runs" / "official")
    pixels = np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3), np.uint8)
    (tmp_path / "real").mkdir()
    for number, picture in enumerate(pixels):
        Image.fromarray(picture).save(tmp_path / "real" / f"{number}.png")
    (tmp_path / "sweep.yaml").write_text(
        HEAD.replace("runs/tiny", "runs/official").replace("images: 12", "images: 12, reference: real")
        + "axes: {sampling.sampler.type: [euler, heun], sampling.steps: [1]}"
    )
    plan, folder = Plan.of(*read_sweep(tmp_path / "sweep.yaml")), tmp_path / "sweeps" / "old"
    plan.write(folder)
    work(folder, "cpu")
    report = write_report(plan, folder).with_suffix(".md").read_text()
    assert "2 of 2 points done, from runs/official at step 0." in report
    distances = {cell.result["results"][0]["values"]["distance"] for cell in cells_of(tasks_of(plan, folder)).values()}
    assert len(distances) == 2
    assert all(distance > 0 for distance in distances)
    assert not (tmp_path / "sweeps" / "trainings").exists()


def test_step_and_weights_are_chosen(sweep, tmp_path):
    run = RunFolder(tmp_path / "runs" / "tiny")
    weights = {"ema": lively_model(make_spec("image.size=8"), seed=5).state_dict()}
    checkpoint.save(run.checkpoints, 9, weights, {}, keep=2)
    axes = "axes: {sampling.steps: [1]}\n"
    folder, seen = tmp_path / "sweeps" / "old", {}
    for chosen in ("", "step: 7\n", "step: 7\nweights: raw\n"):
        plan = Plan.of(*sweep(chosen + axes))
        plan.write(folder)
        work(folder, "cpu")
        (cell,) = cells_of(tasks_of(plan, folder)).values()
        seen[chosen] = cell.result["results"][0]["values"]["distance"]
        (record,) = [json.loads(file.read_text())["subject"] for file in cell.folder.glob("evaluation*.json")]
        assert (record["step"], record["weights"]) == (plan.run.step, plan.run.weights)
    assert len(set(seen.values())) == 3
    report = write_report(plan, folder).with_suffix(".md").read_text()
    assert "from runs/tiny at step 7, raw weights." in report
    with pytest.raises(MissingInputError, match="there are: 7, 9"):
        Plan.of(*sweep("step: 8\n" + axes))
    with pytest.raises(MissingInputError, match="none is best; train with"):
        Plan.of(*sweep("step: best\n" + axes))
    with pytest.raises(MissingInputError, match=r"holds no raw weights \(there are: ema\)"):
        Plan.of(*sweep("weights: raw\n" + axes))
    with pytest.raises(SpecError, match="weights: must be 'ema' or 'raw'"):
        sweep("weights: best\n" + axes)
    with pytest.raises(SpecError, match="chooses weights of a 'run'"):
        sweep("weights: raw\n" + axes, head="name: old\nbase: tiny.yaml\n")


@pytest.mark.parametrize("text", ["axes: {training.steps: [1, 2]}", "points: [{sampling.steps: 1}, {seed: 2}]"])
def test_what_was_trained_cannot_vary(sweep, text):
    with pytest.raises(SpecError, match=r"only sampling\.\* and evaluation\.\* can vary"):
        sweep(text)


def test_a_base_or_a_run(sweep):
    with pytest.raises(SpecError, match="exactly one of 'base'"):
        sweep("axes: {sampling.steps: [1]}", head="name: old\n")


@pytest.mark.usefixtures("warm_workers")
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
