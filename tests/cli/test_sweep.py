"""The three commands of a sweep, as a user calls them."""

from __future__ import annotations

import os
import re
import signal
import sys

import pytest

from pixelflow.cli.app import main
from pixelflow.sweep.executors.local import LocalWorker
from pixelflow.sweep.work.crew import Crew
from tests.conftest import TINY

HEAD = """
name: quick
base: tiny.yaml
set: {image.size: 8, training.steps: 1, evaluation: {images: 10, metrics: [label_agreement]}}
"""

SEARCH = "search: {metric: label_agreement, trials: 2, parameters: {sampling.sampler: [euler, heun]}}"


@pytest.fixture
def sweep_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(TINY)

    def write(text: str) -> str:
        (tmp_path / "sweep.yaml").write_text(HEAD + text)
        return "sweep.yaml"

    return write


@pytest.fixture
def call(capsys):
    """Run a command; gives its code, output and errors."""

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stopped:
            main(list(arguments))
        return (int(stopped.value.code or 0), *capsys.readouterr())

    return run


def test_a_sweep_from_dry_run_to_report(sweep_file, call, tmp_path):
    file = sweep_file("axes: {sampling.steps: [1, 2]}")
    code, told, _ = call("sweep", "run", file, "--dry-run")
    assert code == 0
    assert "train + evaluate" in told
    assert "to do: 1 training of" in told
    assert re.search(r"evaluate +~[\d.]+ (milli)?seconds", told)
    assert "~ time: guessed at 30% of this machine's peak of" in told
    assert not (tmp_path / "sweeps").exists()

    code, page, progress = call("sweep", "run", file)
    assert code == 0
    assert page.strip() == "sweeps/quick/report.html"
    assert "3/3 steps 2: done" in progress

    file = sweep_file("axes: {sampling.steps: [1, 2, 40]}")
    code, told, _ = call("sweep", "run", file, "--dry-run")
    lines = told.splitlines()
    assert [" done" in line for line in lines[1:4]] == [True, True, False]
    assert " evaluate " in lines[3]
    assert "train" not in lines[3]
    assert "expected:" in told
    assert "guessed" not in told, "what is done has measured the speed"

    code, told, _ = call("sweep", "status", "sweeps/quick")
    assert "3 of 3 tasks are done" in told
    (tmp_path / "sweeps/quick/report.html").unlink()
    code, told, _ = call("sweep", "report", "sweeps/quick")
    assert (tmp_path / told.strip()).is_file()


def test_a_search_is_shown_by_its_ranges_before_it_runs(sweep_file, call, tmp_path):
    space = "{sampling.steps: {low: 1, high: 9, log: true}, sampling.sampler.type: [euler, heun]}"
    file = sweep_file(f"search: {{metric: label_agreement, trials: 7, parameters: {space}}}")
    code, told, _ = call("sweep", "run", file, "--dry-run")
    assert code == 0
    assert "7 trials by tpe, to maximize label_agreement over" in told
    assert "1 to 9, log" in told
    assert "euler | heun" in told
    assert "4 ends of the ranges; to do: 1 training" in told
    assert not (tmp_path / "sweeps").exists()


@pytest.mark.usefixtures("warm_workers")
def test_a_search_ends_with_a_report_of_its_points(sweep_file, call, tmp_path, monkeypatch):
    file = sweep_file(SEARCH)
    code, page, _ = call("sweep", "run", file)
    assert code == 0
    text = (tmp_path / page.strip()).read_text()
    assert "2 of 2 points done" in text
    assert "the best is #1, sampler" in text
    code, told, _ = call("sweep", "status", "sweeps/quick")
    assert "tasks are done" in told
    monkeypatch.setitem(sys.modules, "optuna", None)
    code, _, told = call("sweep", "run", file)
    assert code == 69
    assert (
        told.splitlines()[-1] == "pixelflow: a search needs the package optuna: pip install 'pixelflow-toolkit[optuna]'"
    )


def test_an_executor_that_is_not_there_or_not_installed(sweep_file, call, monkeypatch):
    file = sweep_file("axes: {sampling.steps: [1, 2]}")
    code, _, told = call("sweep", "run", file, "--executor", "rai")
    assert code == 78
    assert "did you mean 'ray'?" in told
    for name, package in (("ray", "ray"), ("{type: slurm, workers: 2}", "submitit")):
        monkeypatch.setitem(sys.modules, package, None)
        code, _, told = call("sweep", "run", file, "--executor", name)
        assert code == 69
        assert "pip install 'pixelflow-toolkit[" in told


@pytest.mark.usefixtures("warm_workers")
def test_sigterm_stops_the_workers_and_leaves_a_report(sweep_file, call, tmp_path, monkeypatch):
    stopped: list[LocalWorker] = []
    stop = LocalWorker.stop
    file = sweep_file("axes: {sampling.steps: [1, 2]}")
    with monkeypatch.context() as patched:
        patched.setattr(LocalWorker, "stop", lambda worker: (stopped.append(worker), stop(worker)))
        patched.setattr(Crew, "attend", lambda crew, tasks: os.kill(os.getpid(), signal.SIGTERM))
        code, _, told = call("sweep", "run", file)
    assert code == 75
    assert told.splitlines()[-1] == "pixelflow: sweeps/quick: stopped; the same command goes on"
    assert [worker.ending is None for worker in stopped] == [False]
    report = (tmp_path / "sweeps/quick/report.md").read_text()
    assert " of 2 points done" in report  # none, unless the worker was quicker than the signal
    assert call("sweep", "run", file)[0] == 0


@pytest.mark.usefixtures("warm_workers")
def test_a_failed_cell_has_its_own_code_and_the_rest_is_done(sweep_file, call):
    file = sweep_file("points: [{sampling.guidance.type: autoguidance}, {}]")
    code, _, told = call("sweep", "run", file)
    assert code == 70
    lines = [line for line in told.splitlines() if line.startswith("pixelflow:")]
    assert "this guidance needs a second, weaker run" in lines[0]
    assert lines[1] == "pixelflow: 1 of 3 tasks are not done; the same command tries them again"
    code, told, _ = call("sweep", "status", "sweeps/quick")
    assert "2 of 3 tasks are done" in told
    assert "failed" in told


@pytest.mark.parametrize("points", ["axes: {sampling.steps: [1, 2]}", SEARCH])
def test_missing_weights_are_known_before_anything_is_trained(sweep_file, call, tmp_path, monkeypatch, points):
    monkeypatch.setenv("PIXELFLOW_WEIGHTS", str(tmp_path))
    file = sweep_file(points)
    for place in (tmp_path / file, tmp_path / "tiny.yaml"):
        place.write_text(place.read_text().replace("label_agreement", "fid"))
    code, _, told = call("sweep", "run", file)
    assert code == 69
    assert "inception-2015-12-05.pt is missing" in told
    assert not (tmp_path / "sweeps" / "trainings").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["sweep", "run", "sweep.yml"], 66, "did you mean sweep.yaml?"),
        (["sweep", "status", "."], 66, "is no sweep"),
        (["sweep", "report", "nowhere"], 66, "is no sweep"),
        (["sweep", "sweep.yaml"], 2, "No such command 'sweep.yaml'; a sweep file is run by  pixelflow sweep run FILE"),
        (["sweep"], 2, "Missing command; see pixelflow sweep --help"),
        (["sweep", "status"], 2, "Missing argument 'DIR'; see pixelflow sweep status --help"),
        (
            ["sweep", "run", "tiny.yaml"],
            78,
            "tiny.yaml: is the spec of one experiment; train it with  pixelflow train tiny.yaml",
        ),
        (
            ["train", "sweep.yaml"],
            78,
            "sweep.yaml: is a sweep of experiments; run it with  pixelflow sweep run sweep.yaml",
        ),
        (["plan", "sweep.yaml"], 78, "sweep.yaml: is a sweep of experiments"),
        (["train", "tiny.yaml", "--run", "a b"], 78, "--run a b name: may hold letters, digits"),
        (["train", "tiny.yaml", "--run", ""], 78, "--run  name: may hold letters, digits"),
        (["sweep", "run", "sweep.yaml"], 78, "sweep.yaml:5:8 sampling.stepz: unknown key; did you mean 'steps'?"),
    ],
)
def test_mistakes_are_one_line_with_a_code(sweep_file, call, arguments, code, message):
    sweep_file("axes: {sampling.stepz: [1, 2]}")
    found, _, told = call(*arguments)
    assert found == code
    assert message in told
    assert len(told.splitlines()) == 1


def test_a_point_that_cannot_be_counted_is_named(sweep_file, call):
    data = "{type: image_folder, root: nowhere}"
    file = sweep_file(f"points: [{{seed: 5, data: {data}, conditioners: [class_label]}}]")
    code, _, told = call("sweep", "run", file, "--dry-run")
    assert code == 66
    assert told.startswith("pixelflow: point seed 5, ")
