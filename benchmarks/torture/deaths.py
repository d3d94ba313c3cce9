"""Kills at random moments, and signals that ask to stop."""

from __future__ import annotations

import functools
import os
import shutil
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

from benchmarks.torture.trials import (
    Copy,
    Ended,
    Process,
    Row,
    digest,
    ended,
    newest,
    run,
    seeds,
    spec,
    started,
    verdict_of,
    warm,
    weights_of,
    whole,
)
from pixelflow.runs.runfolder import RunFolder
from pixelflow.sweep.work.worker import work

EXPECTED = {signal.SIGTERM: {75, -15, 0}, signal.SIGHUP: {75, -1, 0}, signal.SIGINT: {130, -2, 0}}
"""Codes after a signal: saved and said so; or it ended before there was anything to save; or it had finished."""


_MEETING = {"PIXELFLOW_RENDEZVOUS_TIMEOUT": "45"}
"""Seconds for which processes wait for one that was killed before it met them."""
_REAL = 5
"""One trial of so many starts the command as a user does, the others a copy of a process in which torch is imported.

Where there are fewer trials than that, all are copies.
"""


class Campaign:
    """One training that is hit again and again until it is through, and then compared with one left in peace."""

    def __init__(self, place: Path, count: int, processes: int, workers: int, mode: str) -> None:
        self.place, self.processes, self.count = place, processes, count
        self.options = ["train", "tiny.yaml", f"training.workers={workers}", f"training.parallel={mode}"]
        spec(place)
        warm()
        kinds = {self.is_real(index) for index in range(count)}
        self.seconds = {kind: self._in_peace(f"whole{kind}", kind) for kind in kinds}
        self.wanted = weights_of(place / f"runs/whole{self.is_real(0)}")
        self.options += ["--run", "hit"]
        self.run = place / "runs/hit"

    def is_real(self, trial: int) -> bool:
        """Whether a trial starts the command as a user does."""
        return self.count >= _REAL and trial % _REAL == 0

    def _in_peace(self, name: str, is_real: bool) -> float:
        """Seconds of the training."""
        began = time.monotonic()
        done = [ended(*one) for one in self.start(is_real, ["--run", name])]
        assert all(one.code == 0 for one in done), done
        return time.monotonic() - began

    def start(self, is_real: bool, options: Sequence[str] = ()) -> list[tuple[Process, Path]]:
        """All processes of the command."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        begun: list[tuple[Process, Path]] = []
        for rank in range(self.processes):
            size = {"WORLD_SIZE": str(self.processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
            ranked = {"RANK": str(rank), "LOCAL_RANK": str(rank), **size, **_MEETING} if self.processes > 1 else {}
            log, arguments = self.place / f"said{rank}", [*self.options, *options]
            if is_real:
                begun.append((started(arguments, self.place, log, ranked), log))
            else:
                begun.append((Copy(whole(arguments), self.place, log, ranked), log))
        return begun

    @property
    def step(self) -> int:
        checkpoint = newest(self.run)
        return int(checkpoint.name.removeprefix("step-")) if checkpoint else 0

    def hit(self, number: signal.Signals, random: Random, is_real: bool) -> list[Ended]:
        """Start, send the signal to one process at a random moment, and wait for all of them."""
        processes = self.start(is_real)
        time.sleep(random.uniform(0.05, 1.05) * self.seconds[is_real])
        hit = random.choice(processes)[0]
        if hit.poll() is None:
            os.kill(hit.pid, number)
        return [ended(*one) for one in processes]


def kills(row: Row, place: Path, count: int, processes: int, workers: int, mode: str = "ddp") -> None:
    """Kill (SIGKILL) a training, or one of its processes; the same command goes on at once."""
    _hits(row, Campaign(place, count, processes, workers, mode), {signal.SIGKILL: {0, 74, -signal.SIGKILL}})


def signals(row: Row, place: Path, count: int, processes: int, workers: int, mode: str = "ddp") -> None:
    """SIGTERM, SIGINT and SIGHUP at random moments: saved, and the same command goes on from there."""
    common = {74, 75, 130} if processes > 1 else set()
    allowed = {number: codes | common for number, codes in EXPECTED.items()}
    _hits(row, Campaign(place, count, processes, workers, mode), allowed)


def _hits(row: Row, campaign: Campaign, allowed: Mapping[signal.Signals, set[int]]) -> None:
    """Each signal in turn, with the codes that may follow it; nothing that was saved is lost."""
    for index, random in enumerate(seeds(row.fault, campaign.count)):
        number, codes = list(allowed.items())[index % len(allowed)]
        before = campaign.step
        outcome = campaign.hit(number, random, campaign.is_real(index))
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
    done = [ended(*one) for one in campaign.start(campaign.is_real(0))]
    litter = [str(path) for path in campaign.run.rglob("*") if path.name.endswith(".part")]
    is_right = all(one.code == 0 for one in done) and weights_of(campaign.run) == campaign.wanted and not litter
    worst = max(done, key=lambda one: (one.is_hung, one.is_ugly))
    row.count(verdict_of(worst, is_right), f"at the end: {[one.code for one in done]} {litter} {worst.said[-300:]}")


CROWD = (
    "name: many\nbase: tiny.yaml\nset: {training.steps: 8, training.sample_every: null}\n"
    "axes:\n  training.learning_rate: [1e-3, 2e-3, 3e-3, 4e-3, 5e-3]\n  sampling.steps: [1, 2]\n"
)


def sweep_of_many(row: Row, place: Path, workers: int) -> None:
    """Many workers on one sweep, a fifth of them killed: each training is made once, and the report is whole."""
    for name in ("peace", "war"):
        spec(place / name)
        (place / name / "sweep.yaml").write_text(CROWD)
    alone = ended(Copy(whole(["sweep", "run", "sweep.yaml"]), place / "peace", place / "said"), place / "said", 600)
    assert alone.code == 0, alone.said
    own, random = place / "war", Random(row.fault)
    crew = [(started(["sweep", "run", "sweep.yaml"], own, own / "said"), own / "said")]
    folder = own / "sweeps/many"
    while not (folder / "sweep.json").is_file() and crew[0][0].poll() is None:
        time.sleep(0.05)
    for index in range(1, workers):
        crew.append((Copy(functools.partial(work, folder, None), own, own / f"said{index}"), own / f"said{index}"))
    for victim in random.sample(range(1, workers), workers // 5):
        time.sleep(random.uniform(0, 1))
        crew[victim][0].kill()
    for worker, log in crew:
        done = ended(worker, log, 600)
        row.count(verdict_of(done, done.code in (0, -signal.SIGKILL), "lost"), f"{done.code}: {done.said[-300:]}")
    last = run(["sweep", "run", "sweep.yaml"], own, seconds=600)
    is_whole = last.code == 0 and _made(own) == _made(place / "peace") and (folder / "report.md").is_file()
    row.count(verdict_of(last, is_whole, "lost"), f"{last.code}: {last.said[-300:]}")
    for training in sorted((own / "sweeps/trainings").iterdir()):
        told = (training / "log.txt").read_text().count("finished 8 steps")
        steps = [line["step"] for line in RunFolder(training / "run").history.lines()]
        is_once = told <= 1 and steps == list(range(1, 9))
        row.count("survived" if is_once else "silent", f"{training.name}: finished {told} times, steps {steps}")


def _made(own: Path) -> str:
    """A hash of all weights and pictures of a sweep."""
    files = [*(own / "sweeps").rglob("step-*/ema.safetensors"), *(own / "sweeps").rglob("images/0*.png")]
    return digest(*sorted(files))
