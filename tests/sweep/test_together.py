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
from pixelflow.system.errors import FailedTasksError
from tests.training.test_distributed import assert_alike

ONE = "axes: {sampling.steps: [2]}\n"


def tasks(plan, folder):
    plan.write(folder)
    training, evaluation = tasks_of(plan, folder)
    assert isinstance(training, Training)
    assert isinstance(evaluation, Evaluation)
    return training, evaluation


def test_two_processes_do_what_one_does(plan_of, tmp_path):
    alone, together = tmp_path / "alone" / "quick", tmp_path / "together" / "quick"
    _, expected = tasks(plan_of(ONE), alone)
    work(alone, "cpu")
    crew.run(plan_of(ONE), together, Local(workers=1, processes=2), lambda line: None)
    training, found = tasks(plan_of(ONE), together)
    assert training.result["images_per_second"] > 0
    assert found.result["macs_per_image"] == expected.result["macs_per_image"]
    assert len(list(found.images.glob("0*.png"))) == 12
    assert_alike(*([one["values"] for one in task.result["results"]] for task in (found, expected)))


def test_what_goes_wrong_in_them_is_the_tasks_failure(plan_of, tmp_path):
    """Three processes cannot share a batch of eight."""
    plan, folder = plan_of(ONE), tmp_path / "sweeps" / "quick"
    with pytest.raises(FailedTasksError, match=r"training.batch_size 8 is not a multiple of 3"):
        crew.run(plan, folder, Local(workers=1, processes=3), lambda line: None)
    training, _ = tasks(plan, folder)
    assert "Traceback" in training.log.read_text()


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
