"""Figures do not depend on how many workers share the work: each task computes with the same number of threads."""

from __future__ import annotations

from pathlib import Path

import torch

from pixelflow.sweep.executors import Local
from pixelflow.sweep.work.tasks import Evaluation, tasks_of
from pixelflow.sweep.work.worker import work


def test_a_worker_has_as_many_threads_whatever_the_number_of_workers(tmp_path, monkeypatch):
    """Real processes, which have nothing to do, are asked for the threads that they were started with."""
    (tmp_path / "sweep.json").write_text("{}")
    started = []
    for count in (1, 2):
        worker = Local().hire(work, tmp_path, 0, count)
        lines = Path(f"/proc/{worker.process.pid}/environ").read_bytes().split(b"\0")
        told = dict(line.split(b"=", 1) for line in lines if b"=" in line)
        started.append(told[b"OMP_NUM_THREADS"])
        worker.process.kill()
        worker.process.wait()
        worker.process.stdin.close()
    assert started == [b"1", b"1"]


def test_an_evaluation_does_not_inherit_the_threads_of_the_training_before(plan_of, tmp_path, monkeypatch):
    """One worker trains and evaluates; of two, one evaluates what the other has trained."""
    found = []
    perform = Evaluation.perform
    monkeypatch.setattr(
        Evaluation, "perform", lambda task, device: found.append(torch.get_num_threads()) or perform(task, device)
    )
    before = torch.get_num_threads()
    plan, folder = plan_of("axes: {training.threads: [2], sampling.steps: [1]}"), tmp_path / "sweeps" / "quick"
    plan.write(folder)
    work(folder, "cpu")
    assert [task.failure for task in tasks_of(plan, folder)] == [None, None]
    assert found == [before]
    assert torch.get_num_threads() == before
