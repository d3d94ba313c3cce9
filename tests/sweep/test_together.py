"""Tasks that several processes do together are those of one."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest

from pixelflow.runs import checkpoint
from pixelflow.sweep.executors import Local
from pixelflow.sweep.work import crew
from pixelflow.sweep.work.tasks import Evaluation, Training, tasks_of
from pixelflow.sweep.work.worker import work
from pixelflow.system.errors import FailedTasksError, PixelflowError
from tests.training.test_distributed import assert_alike

ONE = "axes: {sampling.steps: [2]}\n"


def tasks(plan, folder):
    plan.write(folder)
    training, evaluation = tasks_of(plan, folder)
    assert isinstance(training, Training)
    assert isinstance(evaluation, Evaluation)
    return training, evaluation


@pytest.mark.usefixtures("warm_workers")
def test_two_processes_do_what_one_does(plan_of, tmp_path):
    """The worker is this process, so that those it starts can be copies; `test_a_worker_is_told_of_them` hires one."""
    alone, together = tmp_path / "alone" / "quick", tmp_path / "together" / "quick"
    _, expected = tasks(plan_of(ONE), alone)
    training, found = tasks(plan_of(ONE), together)
    work(alone, "cpu")
    work(together, "cpu", processes=2)
    assert training.result["images_per_second"] > 0
    assert found.result["macs_per_image"] == expected.result["macs_per_image"]
    assert len(list(found.images.glob("0*.png"))) == 12
    assert_alike(*([one["values"] for one in task.result["results"]] for task in (found, expected)))


@pytest.mark.usefixtures("warm_workers")
def test_what_goes_wrong_in_them_is_the_tasks_failure(plan_of, tmp_path):
    """Three processes cannot share a batch of eight; whoever hired the worker says so."""
    plan, folder = plan_of(ONE), tmp_path / "sweeps" / "quick"
    training, _ = tasks(plan, folder)
    work(folder, "cpu", processes=3)
    assert "training.batch_size 8 is not a multiple of 3" in training.failure
    assert "Traceback" in training.log.read_text()


def test_a_worker_is_told_of_them(plan_of, tmp_path, monkeypatch):
    folder = tmp_path / "sweeps" / "quick"
    (tmp_path / "python").write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/told\nexit 70\n')
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(PixelflowError):
        crew.run(plan_of(ONE), folder, Local(workers=1, processes=3), lambda line: None)
    assert (tmp_path / "told").read_text().split() == ["-m", work.__module__, str(folder), "3"]


@pytest.mark.slow
def test_a_worker_that_is_hired_has_them_do_each_task(plan_of, tmp_path):
    """With new interpreters throughout."""
    plan, folder = plan_of(ONE), tmp_path / "sweeps" / "quick"
    with pytest.raises(FailedTasksError, match=r"training.batch_size 8 is not a multiple of 3"):
        crew.run(plan, folder, Local(workers=1, processes=3), lambda line: None)
    crew.run(plan, folder, Local(workers=1, processes=2), lambda line: None)
    assert all(task.is_done for task in tasks(plan, folder))


@pytest.mark.slow
def test_a_worker_that_is_told_to_stop_lets_them_save(plan_of, tmp_path):
    folder = tmp_path / "sweeps" / "quick"
    training = tasks(plan_of("axes: {training.steps: [1000000]}\n"), folder)[0]
    command = [sys.executable, "-m", work.__module__, str(folder), "2", "cpu"]
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    metrics = training.run / "metrics.jsonl"
    while not (metrics.is_file() and metrics.read_text().count("\n") > 2):
        assert worker.poll() is None, worker.communicate()
        time.sleep(0.1)
    worker.send_signal(signal.SIGTERM)
    _, said = worker.communicate(timeout=60)
    assert worker.returncode == 75, said
    assert "stopped and saved" in said
    saved = checkpoint.steps(training.run / "checkpoints")[-1]
    assert json.loads(metrics.read_text().splitlines()[-1])["step"] == saved
    assert not training.is_done
    assert training.failure is None
