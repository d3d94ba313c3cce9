"""Kills at random moments, and signals that ask to stop."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

from benchmarks.torture.trials import Ended, Row, ended, newest, run, seeds, spec, started, verdict_of, weights_of

EXPECTED = {signal.SIGTERM: {75, -15, 0}, signal.SIGHUP: {75, -1, 0}, signal.SIGINT: {130, -2, 0}}
"""Codes after a signal: saved and said so; or it ended before there was anything to save; or it had finished."""


class Campaign:
    """One training that is hit again and again until it is through, and then compared with one left in peace."""

    def __init__(self, place: Path, processes: int, workers: int) -> None:
        self.place, self.processes = place, processes
        self.options = ["train", "tiny.yaml", f"training.workers={workers}"]
        spec(place)
        began = time.monotonic()
        self._through(["--run", "whole"])
        self.seconds = time.monotonic() - began
        self.wanted = weights_of(place / "runs/whole")
        self.options += ["--run", "hit"]
        self.run = place / "runs/hit"

    def _through(self, options: Sequence[str]) -> None:
        done = [ended(*one) for one in self.start(options)]
        assert all(one.code == 0 for one in done), done

    def start(self, options: Sequence[str] = ()) -> list[tuple[subprocess.Popen[bytes], Path]]:
        """All processes of the command."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        begun = []
        for rank in range(self.processes):
            size = {"WORLD_SIZE": str(self.processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
            ranked = {"RANK": str(rank), "LOCAL_RANK": str(rank), **size} if self.processes > 1 else {}
            log = self.place / f"said{rank}"
            begun.append((started([*self.options, *options], self.place, log, ranked), log))
        return begun

    @property
    def step(self) -> int:
        checkpoint = newest(self.run)
        return int(checkpoint.name.removeprefix("step-")) if checkpoint else 0

    def hit(self, number: signal.Signals, random: Random) -> list[Ended]:
        """Start, send the signal to one process at a random moment, and wait for all of them."""
        processes = self.start()
        time.sleep(random.uniform(0.05, 1.05) * self.seconds)
        hit = random.choice(processes)[0]
        if hit.poll() is None:
            os.kill(hit.pid, number)
        return [ended(*one) for one in processes]


def kills(row: Row, place: Path, count: int, processes: int, workers: int) -> None:
    """Kill (SIGKILL) a training, or one of its processes; the same command goes on at once."""
    _hits(row, Campaign(place, processes, workers), count, {signal.SIGKILL: {0, 74, -signal.SIGKILL}})


def signals(row: Row, place: Path, count: int, processes: int, workers: int) -> None:
    """SIGTERM, SIGINT and SIGHUP at random moments: saved, and the same command goes on from there."""
    common = {74, 75, 130} if processes > 1 else set()
    allowed = {number: codes | common for number, codes in EXPECTED.items()}
    _hits(row, Campaign(place, processes, workers), count, allowed)


def _hits(row: Row, campaign: Campaign, count: int, allowed: Mapping[signal.Signals, set[int]]) -> None:
    """Each signal in turn, with the codes that may follow it; nothing that was saved is lost."""
    for index, random in enumerate(seeds(row.fault, count)):
        number, codes = list(allowed.items())[index % len(allowed)]
        before = campaign.step
        outcome = campaign.hit(number, random)
        worst = max(outcome, key=lambda one: (one.is_hung, one.is_ugly))
        is_right = all(one.code in codes for one in outcome) and campaign.step >= before
        verdict = verdict_of(worst, is_right, "lost")
        if all(one.code == 0 for one in outcome):
            if verdict == "survived" and weights_of(campaign.run) != campaign.wanted:
                verdict = "silent"
            shutil.rmtree(campaign.run)
        row.count(verdict, f"{number.name} {[one.code for one in outcome]} at step {before}: {worst.said[-300:]}")
    _finish(row, campaign)


def _finish(row: Row, campaign: Campaign) -> None:
    """The last one goes on to its end, leaves no litter, and equals the training that nothing happened to."""
    done = [ended(*one) for one in campaign.start()]
    litter = [str(path) for path in campaign.run.rglob("*") if path.name.endswith(".part")]
    is_right = all(one.code == 0 for one in done) and weights_of(campaign.run) == campaign.wanted and not litter
    worst = max(done, key=lambda one: (one.is_hung, one.is_ugly))
    row.count(verdict_of(worst, is_right), f"at the end: {[one.code for one in done]} {litter} {worst.said[-300:]}")


def sweep_of_many(row: Row, place: Path, workers: int) -> None:
    """Many workers on one sweep, some of them killed: each training is made once, and the report is whole."""
    spec(place)
    (place / "sweep.yaml").write_text(
        "name: many\nbase: tiny.yaml\nset: {training.steps: 2, training.sample_every: null}\n"
        "axes:\n  training.learning_rate: [1e-3, 2e-3, 3e-3]\n  sampling.steps: [1, 2]\n"
    )
    logs = [place / f"worker{index}" for index in range(workers)]
    crew = [started(["sweep", "run", "sweep.yaml"], place, log) for log in logs]
    random = Random(row.fault)
    time.sleep(15)
    for victim in random.sample(crew, workers // 5):
        victim.kill()
    for worker, log in zip(crew, logs, strict=True):
        done = ended(worker, log, 300)
        row.count(verdict_of(done, done.code in (0, -signal.SIGKILL), "lost"), f"{done.code}: {done.said[-300:]}")
    last = run(["sweep", "run", "sweep.yaml"], place, seconds=120)
    row.count(verdict_of(last, last.code == 0, "lost"), f"{last.code}: {last.said[-300:]}")
