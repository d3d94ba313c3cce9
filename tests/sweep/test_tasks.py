"""Every task is done once, by whichever worker, whatever happens to the others."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import time

import pytest

from pixelflow.sweep.executors import Local
from pixelflow.sweep.points.plan import Plan
from pixelflow.sweep.points.points import read_sweep
from pixelflow.sweep.work import crew
from pixelflow.sweep.work.task import State, Task
from pixelflow.sweep.work.tasks import Evaluation, Training, tasks_of
from pixelflow.sweep.work.worker import work
from pixelflow.system.errors import FailedTasksError, PixelflowError
from tests.sweep.conftest import STEPS

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def prepared(plan_of, tmp_path):
    """Write a plan into a sweep's folder; gives its tasks and the folder."""

    def prepare(text: str = STEPS):
        plan, folder = plan_of(text), tmp_path / "sweeps" / "quick"
        plan.write(folder)
        return tasks_of(plan, folder), folder

    return prepare


def stamps(tasks: list[Task]) -> dict[str, tuple[int, int]]:
    """What would change if a finished task were done again."""
    files = [task.folder / "result.json" for task in tasks if task.is_done]
    return {str(file): (file.stat().st_ino, file.stat().st_mtime_ns) for file in files}


def values(tasks: list[Task]) -> dict[str, object]:
    return {task.folder.name: task.result["results"] for task in tasks if isinstance(task, Evaluation)}


def litter(folder) -> list:
    return [path for path in folder.parent.rglob("*") if path.name.endswith(".part") or path.name.startswith(".draft")]


def test_a_worker_does_everything_from_one_training(prepared):
    tasks, folder = prepared()
    assert [task.state for task in tasks] == [State.OPEN] * 5
    work(folder, "cpu")
    assert [task.state for task in tasks] == [State.DONE] * 5
    assert sum(isinstance(task, Training) for task in tasks) == 1
    for task in tasks[1:]:
        frechet, agreement = task.result["results"]
        assert (frechet["metric"], frechet["higher_is_better"]) == ("frechet, pixels_pca", False)
        assert (agreement["metric"], agreement["higher_is_better"]) == ("label_agreement", True)
        assert task.result["seconds_per_image"] > 0
        assert task.result["macs_per_image"] == pytest.approx(task.cell.cost.sample_macs)
        assert len(list(task.images.glob("*.png"))) == 12


def test_progress_is_told_from_what_is_there(prepared):
    (training, evaluation), folder = prepared("axes: {sampling.steps: [1]}")
    assert (training.progress, evaluation.progress) == ("", "")
    work(folder, "cpu")
    with (training.run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 2, "lo')  # half written
    assert (training.progress, evaluation.progress) == ("step 1 of 1", "12 of 12 images")


def test_what_is_done_is_not_done_again_and_a_new_value_only_adds(prepared):
    tasks, folder = prepared()
    work(folder, "cpu")
    before = stamps(tasks)
    longer, _ = prepared(STEPS.replace("[1, 2]", "[1, 2, 3]"))
    assert [task.state for task in longer].count(State.OPEN) == 2
    work(folder, "cpu")
    after = stamps(longer)
    assert len(after) == 7
    assert {file: after[file] for file in before} == before


def test_an_evaluation_is_that_of_the_eval_command(prepared, capsys):
    from pixelflow.cli.app import main

    tasks, folder = prepared("axes: {sampling.steps: [2]}")
    work(folder, "cpu")
    settings = ["sampling.steps=2", "sampling.batch_size=4"]
    with pytest.raises(SystemExit):
        main(["eval", str(tasks[0].run), *settings, "--out", str(folder / "by-hand"), "--device", "cpu"])
    by_hand = json.loads((folder / "by-hand" / "evaluation.json").read_text())
    assert by_hand == json.loads((tasks[1].folder / "evaluation.json").read_text())


def test_a_cell_that_fails_leaves_the_others_alone(prepared, capfd):
    tasks, folder = prepared("points: [{}, {sampling.guidance.type: autoguidance}, {sampling.steps: 2}]")
    with capfd.disabled():
        work(folder, "cpu")
    assert [task.state for task in tasks] == [State.DONE, State.DONE, State.FAILED, State.DONE]
    assert "weak" in tasks[2].failure
    assert "Traceback" in tasks[2].log.read_text()


def test_what_needs_a_failed_training_fails_with_it(prepared):
    text = "axes: {sampling.steps: [1, 2], training.learning_rate: [1e-3, 1e30], training.steps: [9]}"
    tasks, folder = prepared(text)
    work(folder, "cpu")
    (broken,) = (task for task in tasks if isinstance(task, Training) and task.failure)
    assert "not finite" in broken.failure
    failed = [task for task in tasks if task.needs is broken]
    assert [task.failure for task in failed] == [f"{broken.what} failed"] * 2
    assert sum(task.is_done for task in tasks) == 3


def test_a_claim_ends_with_its_process(prepared):
    tasks, _ = prepared()

    def hold(connection) -> None:
        with tasks[0].claim.held() as mine:
            connection.send(mine)
            time.sleep(60)

    here, there = FORK.Pipe()
    holder = FORK.Process(target=hold, args=(there,))
    holder.start()
    assert here.recv() is True
    assert tasks[0].state is State.RUNNING
    with tasks[0].claim.held() as mine:
        assert not mine
    holder.kill()
    holder.join()
    assert tasks[0].claim.was_held_by(holder.pid)
    assert tasks[0].state is State.OPEN
    with tasks[0].claim.held() as mine:
        assert mine


def killed_and_finished(tasks: list[Task], folder, kills: int, seed: int) -> None:
    """Two workers, killed at random moments; every finished task must stay untouched, and all get finished."""
    lots = random.Random(seed)
    for _ in range(kills):
        before = stamps(tasks)
        pair = [FORK.Process(target=work, args=(folder, "cpu")) for _ in range(2)]
        for worker in pair:
            worker.start()
        time.sleep(lots.uniform(0, 0.5))
        for worker in pair:
            worker.kill()
            worker.join()
        after = stamps(tasks)
        assert {file: after[file] for file in before} == before
        assert all(task.state in (State.DONE, State.OPEN) for task in tasks)
    before = stamps(tasks)
    work(folder, "cpu")
    after = stamps(tasks)
    assert {file: after[file] for file in before} == before
    assert len(after) == len(tasks)


def check_kills(plan_of, tmp_path, kills: int, seed: int = 0) -> None:
    text = "axes: {sampling.steps: [1, 2, 3], sampling.guidance.scale: [1.0, 2.0], seed: [1, 2]}"
    plan = plan_of(text)
    whole, cut = (tmp_path / name / "quick" for name in ("whole", "cut"))
    for folder in (whole, cut):
        plan.write(folder)
    work(whole, "cpu")
    tasks = tasks_of(plan, cut)
    killed_and_finished(tasks, cut, kills, seed)
    assert values(tasks) == values(tasks_of(plan, whole))
    assert not litter(cut)
    for training in (task for task in tasks if isinstance(task, Training)):
        steps = [json.loads(line)["step"] for line in (training.run / "metrics.jsonl").read_text().splitlines()]
        assert steps == [1]


def test_killed_at_any_moment_each_task_is_done_once(plan_of, tmp_path):
    check_kills(plan_of, tmp_path, kills=5)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_fifty_kills(plan_of, tmp_path, seed):
    check_kills(plan_of, tmp_path, kills=5, seed=100 + seed)


def test_drafts_that_a_kill_left_do_no_harm(prepared):
    tasks, folder = prepared("axes: {sampling.steps: [1]}")
    for place in (
        "cells/KEY/images/.recipe.json.1.part",
        "cells/KEY/.result.json.1.part",
        "trainings/KEY/.run.1.part/spec",
    ):
        draft = folder.parent / place.replace("KEY", tasks["cells" in place].folder.name)
        draft.parent.mkdir(parents=True, exist_ok=True)
        draft.touch()
    work(folder, "cpu")
    assert all(task.is_done for task in tasks)
    assert not litter(folder)


def test_images_that_a_version_with_fewer_settings_began_are_drawn_anew(prepared):
    tasks, folder = prepared("axes: {sampling.steps: [1]}")
    work(folder, "cpu")
    whole, recipe = values(tasks), tasks[1].images / "recipe.json"
    (tasks[1].folder / "result.json").unlink()
    former = json.loads(recipe.read_text())
    del former["sampling"]["precision"]
    recipe.write_text(json.dumps(former))
    work(folder, "cpu")
    assert values(tasks) == whole
    assert "precision" in json.loads(recipe.read_text())["sampling"]


@pytest.mark.usefixtures("warm_workers")
def test_two_workers_share_the_work(plan_of, tmp_path):
    plan, folder = plan_of(), tmp_path / "sweeps" / "quick"
    said: list[str] = []
    crew.run(plan, folder, Local(workers=2), said.append)
    assert all(task.is_done for task in tasks_of(plan, folder))
    assert said[0].endswith("0 of 5 tasks are done already")
    assert sorted(line.split("/")[0] for line in said[1:])[-1] == "5"
    again: list[str] = []
    crew.run(plan, folder, Local(workers=2), again.append)
    assert again == [f"{folder}: 5 of 5 tasks are done already"]


@pytest.mark.usefixtures("warm_workers")
def test_a_worker_that_is_killed_is_replaced_and_its_task_tried_again(plan_of, tmp_path, monkeypatch):
    """The task is failed by the crew; the same command then does it, and nothing else."""
    plan, folder = plan_of("axes: {sampling.steps: [1, 2]}\n"), tmp_path / "sweeps" / "quick"
    plan.write(folder)
    tasks = tasks_of(plan, folder)
    hire = Local.hire

    def hire_and_kill(*arguments):
        worker = hire(*arguments)
        monkeypatch.setattr(Local, "hire", hire)
        while not tasks[0].claim.was_held_by(worker.process.pid):
            time.sleep(0.01)
        os.kill(worker.process.pid, signal.SIGKILL)
        return worker

    monkeypatch.setattr(Local, "hire", hire_and_kill)
    with pytest.raises(FailedTasksError, match="killed by signal 9"):
        crew.run(plan, folder, Local(workers=1), lambda line: None)
    crew.run(plan, folder, Local(workers=1), lambda line: None)
    assert all(task.is_done for task in tasks)


def test_a_worker_that_cannot_start_is_no_endless_loop(plan_of, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(PixelflowError, match="before they do anything"):
        crew.run(plan_of(), tmp_path / "sweeps" / "quick", Local(workers=1), lambda line: None)


@pytest.mark.slow
def test_everything_killed_and_run_again(sweep_file, tmp_path):
    """The command with its workers, as a user runs it: killed, then run again to the end."""
    import subprocess
    import sys

    path, out = sweep_file(), tmp_path / "sweeps"
    plan = Plan.of(*read_sweep(path))
    tasks = tasks_of(plan, out / "quick")
    command = [sys.executable, "-m", "pixelflow", "sweep", "run", str(path), "--workers", "2", "--out", str(out)]
    lots = random.Random(5)
    for _ in range(4):
        before = stamps(tasks)
        running = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        time.sleep(lots.uniform(2, 9))
        running.kill()
        running.wait()
        after = stamps(tasks)
        assert {file: after[file] for file in before} == before
    assert subprocess.run(command, check=False).returncode == 0
    assert all(task.is_done for task in tasks)
    time.sleep(1)
    assert not any(task.state is State.RUNNING for task in tasks)
