"""Where workers run: the same work on a Ray cluster and as jobs, with machines and jobs that are lost."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pixelflow.runs import checkpoint
from pixelflow.sweep.executors import Local, Ray, Slurm
from pixelflow.sweep.points.points import read_sweep
from pixelflow.sweep.work import crew
from pixelflow.sweep.work.tasks import Training, tasks_of
from pixelflow.sweep.work.worker import work
from pixelflow.system.errors import MissingDependencyError, PixelflowError, SpecError, UsageError
from tests.sweep.test_tasks import stamps

GRID = "axes: {sampling.steps: [1, 2, 3], sampling.guidance.scale: [1.0, 2.0], seed: [1, 2, 3]}\n"


def check_done_once(tasks) -> None:
    """Every task is done; a training that was done twice would have logged its step twice."""
    assert all(task.is_done for task in tasks)
    for training in (task for task in tasks if isinstance(task, Training)):
        assert [json.loads(line)["step"] for line in (training.run / "metrics.jsonl").read_text().splitlines()] == [1]


def test_a_file_names_its_executor(sweep_file):
    def executor(text):
        return read_sweep(sweep_file(f"axes: {{seed: [1]}}\n{text}")).settings.executor

    assert executor("") == Local()
    assert executor("executor: ray") == Ray()
    assert executor("executor: {type: slurm, minutes: 9, options: {account: me}}") == Slurm(
        minutes=9, options={"account": "me"}
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "executor: rai",
            ":10:1 executor: needs one of local, ray, slurm, or a block with that 'type', not the text 'rai'",
        ),
        ("executor: {workers: 2}", "executor: needs one of local, ray, slurm"),
        ("executor: {type: ray, adress: auto}", "adress: unknown key"),
        ("executor: {type: slurm, minutes: 0}", "minutes: must be at least 1, not 0"),
    ],
)
def test_mistakes_in_an_executor(sweep_file, text, message):
    with pytest.raises(SpecError) as caught:
        read_sweep(sweep_file(f"axes: {{seed: [1]}}\n{text}"))
    assert message in str(caught.value)


@pytest.mark.parametrize(("executor", "package"), [(Ray(), "ray"), (Slurm(), "submitit")])
def test_an_executor_that_is_not_installed(plan_of, tmp_path, monkeypatch, executor, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'pixelflow-toolkit\[\w+\]'"):
        crew.run(plan_of(), tmp_path / "sweeps" / "quick", executor, lambda line: None)


@pytest.mark.parametrize(
    "form", ["127.0.0.1:{port}", "ray://127.0.0.1:{port}", "localhost:{port}", "nobody.invalid:{port}"]
)
def test_a_cluster_that_nobody_answers_for_is_named_at_once(plan_of, tmp_path, form):
    pytest.importorskip("ray")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = form.format(port=closed.getsockname()[1])
    began = time.monotonic()
    with pytest.raises(UsageError, match=rf"no Ray cluster answers at {address} \(.+\); start one there") as caught:
        crew.run(plan_of(), tmp_path / "sweeps" / "quick", Ray(address=address), lambda line: None)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - began < 15


FORKING = """
import multiprocessing, time
from pixelflow.sweep.work.ending import end_with_parent
end_with_parent()
time.sleep(0.5)
child = multiprocessing.get_context("fork").Process(target=print, args=("read",), daemon=True)
child.start()
child.join(20)
print(child.exitcode, flush=True)
"""


def test_a_worker_that_waits_for_its_parents_end_may_fork_readers_of_data():
    """A forked process closes its standard input, whose lock it has with whoever holds it."""
    with subprocess.Popen(
        [sys.executable, "-c", FORKING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stdout is not None
        assert worker.stdout.read().split() == ["read", "0"]


def test_what_a_worker_says_at_its_end_is_what_the_command_says(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    (tmp_path / "python").write_text(
        "#!/bin/sh\necho a search\necho \"pixelflow: frechet gives no 'speed'\"\nexit 78\n"
    )
    (tmp_path / "python").chmod(0o755)
    worker = Local().hire(work, tmp_path, 0, 1)
    worker.process.wait()
    assert isinstance(worker.ending.error, SpecError)
    assert str(worker.ending.error) == "frechet gives no 'speed'"


def test_jobs_of_slurm_through_submitit(plan_of, tmp_path):
    plan, folder = plan_of("axes: {sampling.steps: [1]}\n"), tmp_path / "sweeps" / "quick"
    crew.run(plan, folder, Slurm(cluster="local", cpus=1), lambda line: None)
    check_done_once(tasks_of(plan, folder))
    assert list((folder / "slurm").glob("*_log.out"))


SHARDS = "axes: {sampling.steps: [1], training.parallel: [fsdp]}\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    "executor", [Ray(workers=1, processes=2), Slurm(cluster="local", cpus=1, processes=2)], ids=["ray", "slurm"]
)
def test_two_processes_do_each_task_of_a_worker_elsewhere(plan_of, tmp_path, executor):
    plan, folder = plan_of(SHARDS), tmp_path / "sweeps" / "quick"
    crew.run(plan, folder, executor, lambda line: None)
    training, evaluation = tasks_of(plan, folder)
    check_done_once([training, evaluation])
    assert list(training.run.glob("checkpoints/*/ema-2-of-2.safetensors"))
    assert len(list(evaluation.images.glob("0*.png"))) == 12


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_a_job_whose_time_is_over_saves_and_is_queued_again(plan_of, tmp_path, processes):
    """By the signal that submitit has SLURM send; here it queues the job itself."""
    endless = "training.steps: [1000000], training.save_every: [1000000]"
    plan, folder = plan_of(f"axes: {{{endless}, training.parallel: [fsdp]}}\n"), tmp_path / "sweeps" / "quick"
    plan.write(folder)
    training, _ = tasks_of(plan, folder)
    executor = Slurm(cluster="local", cpus=1, processes=processes)
    with executor.opened():
        job = executor.hire(work, folder, 0, 1)
        wait_until(lambda: steps_logged(training) > 3)
        (claim,) = training.folder.glob(".claim-*")
        holder = json.loads(claim.read_text())["process"]
        os.kill(int(Path(f"/proc/{holder}/stat").read_text().split()[3]), signal.SIGUSR2)  # what submitit runs
        wait_until(lambda: "continuing after step" in training.log.read_text())
        (saved,) = checkpoint.steps(training.run / "checkpoints")
        assert saved >= 3
        assert f"continuing after step {saved}" in training.log.read_text()
        again = json.loads(max(training.folder.glob(".claim-*")).read_text())["process"]
        assert again != holder
        os.kill(again, signal.SIGTERM)  # ends the job, which is not through
        wait_until(lambda: job.ending is not None)


def steps_logged(training: Training) -> int:
    file = training.run / "metrics.jsonl"
    return file.read_text().count("\n") if file.is_file() else 0


def wait_until(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + 120
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.mark.slow
def test_what_a_job_says_at_its_end_is_told(tmp_path):
    """A folder without a sweep."""
    worker = Slurm(cluster="local", cpus=1).hire(work, tmp_path, 0, 1)
    wait_until(lambda: worker.ending is not None)
    assert worker.ending.death.startswith("was lost as job ")
    assert "sweep.json" in worker.ending.death


def test_workers_that_always_die_are_no_endless_loop(plan_of, tmp_path):
    from pixelflow.sweep.executors.base import Ending, Executor, Worker

    class Dying(Worker):
        ending = Ending("was lost")

        def stop(self) -> None: ...

        def wait(self) -> None: ...

    class Hopeless(Executor):
        type: str = "hopeless"

        def count(self, most: int) -> int:
            return 1

        def hire(self, job, folder, index, count) -> Worker:
            return Dying()

    with pytest.raises(PixelflowError, match="workers die before they do anything: the last was lost"):
        crew.run(plan_of(), tmp_path / "sweeps" / "quick", Hopeless(), lambda line: None)


@pytest.mark.slow
def test_a_cluster_that_loses_a_machine(plan_of, tmp_path):
    """Two machines of Ray; one is killed in the middle, all is done once nevertheless."""
    from ray.cluster_utils import Cluster

    plan, folder = plan_of(GRID), tmp_path / "sweeps" / "quick"
    tasks = tasks_of(plan, folder)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    machines = [cluster.add_node(num_cpus=1) for _ in range(2)]
    said: list[str] = []
    seen: list[dict] = []

    def say(line: str) -> None:
        said.append(line)
        if line.startswith("3/"):
            seen.append(stamps(tasks))
            cluster.remove_node(machines[0], allow_graceful=False)
            cluster.add_node(num_cpus=1)

    try:
        cluster.wait_for_nodes()
        crew.run(plan, folder, Ray(address=cluster.address), say)
    finally:
        cluster.shutdown()
    check_done_once(tasks)
    after = stamps(tasks)
    assert len(seen) == 1
    assert {file: after[file] for file in seen[0]} == seen[0]
