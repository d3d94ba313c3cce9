"""The file for SLURM, whole: bash and the trainings are real, the scheduler's three commands are stand-ins."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pixelflow.runs import checkpoint
from tests.conftest import TINY
from tests.training.test_distributed import free_port

DOCS = Path(__file__).parents[2] / "docs"
SCRIPT = DOCS / "slurm/train.sh"

SCONTROL = """#!/bin/sh
case $1 in
    show) echo 127.0.0.1 ;;
    *) echo "$@" >> "$CALLED" ;;
esac
"""
SRUN = f"""#!{sys.executable}
# Two tasks on one node; ends with the highest of their codes, as SLURM's does.
import os, subprocess, sys
tasks = [
    subprocess.Popen(sys.argv[2:], env=os.environ | {{"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)}})
    for rank in range(2)
]
open(os.environ["TASKS"], "w").write(" ".join(str(task.pid) for task in tasks))
codes = [task.wait() for task in tasks]
sys.exit(max(code if code >= 0 else 128 - code for code in codes))
"""


class Job:
    """The batch script at work, with stand-ins for ``srun`` and ``scontrol``."""

    def __init__(self, folder: Path, srun: str, *arguments: str) -> None:
        folder.mkdir()
        for name, text in (("srun", srun), ("scontrol", SCONTROL)):
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        self._called, self._tasks, self._said = (folder / name for name in ("called", "tasks", "said"))
        own = {"PATH": f"{folder}:{Path(sys.executable).parent}:{os.environ['PATH']}", "CALLED": str(self._called),
               "TASKS": str(self._tasks), "SLURM_JOB_ID": str(free_port()), "SLURM_JOB_NODELIST": "one",
               "SLURM_NTASKS": "2", "SLURM_NNODES": "1"}  # fmt: skip
        self.number = own["SLURM_JOB_ID"]
        with self._said.open("w") as said:
            self.process = subprocess.Popen(["bash", str(SCRIPT), *arguments], env=os.environ | own, stderr=said)

    @property
    def said(self) -> str:
        return self._said.read_text()

    @property
    def requeued(self) -> bool:
        return self._called.is_file() and self._called.read_text() == f"requeue {self.number}\n"

    def signal(self, number: signal.Signals) -> None:
        """To its tasks, as by ``--signal`` before the time is over."""
        for pid in self._tasks.read_text().split():
            os.kill(int(pid), number)

    def wait_for(self, text: str) -> None:
        while text not in self.said:
            assert self.process.poll() is None, self.said
            time.sleep(0.1)


def test_the_page_shows_the_file():
    assert f"```bash\n{SCRIPT.read_text()}```" in (DOCS / "clusters.md").read_text()


@pytest.mark.parametrize(
    ("code", "again"),
    [(0, False), (74, True), (75, True), (137, True), (143, True), (1, False), (65, False), (76, False), (78, False)],
)
def test_what_may_go_on_is_queued_again(tmp_path, code, again):
    job = Job(tmp_path / "job", f"#!/bin/sh\nexit {code}\n", "tiny.yaml")
    assert job.process.wait(20) == code
    assert job.requeued == again


@pytest.mark.slow
def test_a_job_whose_time_is_nearly_over_saves_and_goes_on(tmp_path):
    (tmp_path / "tiny.yaml").write_text(TINY)
    train = (str(tmp_path / "tiny.yaml"), "--out", str(tmp_path), "--device", "cpu", "training.save_every=1000000")
    first = Job(tmp_path / "first", SRUN, *train, "training.steps=1000000")
    first.wait_for("step 5/")
    first.signal(signal.SIGTERM)
    assert first.process.wait(120) == 75, first.said
    assert first.requeued
    (saved,) = checkpoint.steps(tmp_path / "tiny" / "checkpoints")
    again = Job(tmp_path / "again", SRUN, *train, f"training.steps={saved + 1}")
    assert again.process.wait(240) == 0, again.said
    assert not again.requeued
    assert f"continuing after step {saved}" in again.said
