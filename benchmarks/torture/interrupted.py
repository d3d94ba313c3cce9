"""Commands other than train that are killed or asked to stop at random moments: the same command ends the work."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from benchmarks.torture.given import made_for_text
from benchmarks.torture.trials import Ended, Row, digest, ended, run, seeds, started, verdict_of

ENDS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_LEFT = {signal.SIGKILL: {-9}, signal.SIGTERM: {75, -15}, signal.SIGINT: {130, -2}, signal.SIGHUP: {75, -1}}
"""Codes of each; and 0, where it had finished."""


@dataclass(frozen=True)
class Work:
    """A command and what it makes.

    Args:
        result: its files within the folder, which do not depend on interruptions.
    """

    call: Sequence[str]
    result: Callable[[Path], Sequence[Path]]


def _pictures(own: Path) -> list[Path]:
    return sorted((own / "drawn").glob("0*.png"))


def _evaluated(own: Path) -> list[Path]:
    return sorted((own / "evaluated").rglob("0*.png"))


WORKS = {
    "sample": Work(
        ["sample", "runs/tiny", "--count", "400", "--steps", "20", "--out", "drawn", "sampling.batch_size=40"],
        _pictures,
    ),
    "npz": Work(
        ["sample", "runs/tiny", "--count", "400", "--npz", "drawn.npz", "sampling.batch_size=40"],
        lambda own: [own / "drawn.npz"],
    ),
    "eval": Work(
        ["eval", "runs/tiny", "--images", "400", "--steps", "20", "evaluation.metrics=[frechet]", "--out", "evaluated"],
        _evaluated,
    ),
    "sweep": Work(["sweep", "run", "sweep.yaml"], lambda own: sorted((own / "sweeps").rglob("step-*/ema.safetensors"))),
}
SWEEP = (
    "name: two\nbase: tiny.yaml\nset: {training.steps: 6}\naxes:\n  training.seed: [1, 2]\n  sampling.steps: [1, 2]\n"
)


def others(row: Row, place: Path, count: int) -> None:
    """`count` interruptions of each command, until which it goes on again and again."""
    made = made_for_text(place / "made")
    (made / "sweep.yaml").write_text(SWEEP.replace("training.seed", "seed"))
    for name, work in WORKS.items():
        own, whole = place / name, place / f"{name}-whole"
        shutil.copytree(made, whole)
        began = time.monotonic()
        undisturbed = run(work.call, whole, seconds=180)
        seconds = time.monotonic() - began
        assert undisturbed.code == 0, (name, undisturbed.said)
        wanted = digest(*work.result(whole))
        shutil.copytree(made, own)
        for trial, random in enumerate(seeds(f"{row.fault} {name}", count)):
            how = ENDS[trial % len(ENDS)]
            done = _hit(work, own, seconds, how, random)
            verdict = verdict_of(done, done.code in _LEFT[how] | {0}, "lost")
            if verdict == "survived" and done.code == 0:
                verdict = _judged(work, own, wanted)
                shutil.rmtree(own)
                shutil.copytree(made, own)
            row.count(verdict, f"{name} {how.name}: {done.code} {done.said[-300:]}")
        last = run(work.call, own, seconds=180)
        verdict = verdict_of(last, last.code == 0, "lost")
        verdict = _judged(work, own, wanted) if verdict == "survived" else verdict
        row.count(verdict, f"{name} at the end: {last.code} {last.said[-300:]}")


def _hit(work: Work, own: Path, seconds: float, how: signal.Signals, random: Random) -> Ended:
    process = started(work.call, own, own / "said")
    time.sleep(random.uniform(0.1, 1.0) * seconds)
    if process.poll() is None:
        os.kill(process.pid, how)
    return ended(process, own / "said", 120)


def _judged(work: Work, own: Path, wanted: str) -> str:
    """Whether what was made is what an undisturbed command makes."""
    files = work.result(own)
    return "survived" if files and digest(*files) == wanted else "silent"
