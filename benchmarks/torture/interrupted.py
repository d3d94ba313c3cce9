"""Commands other than train that are killed or asked to stop at random moments: the same command ends the work."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.torture.given import made_for_text
from benchmarks.torture.trials import Copy, Ended, Row, digest, ended, pictures, run, seeds, verdict_of, whole
from tests.tiny_encoders import make_t5

ENDS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_LEFT = {signal.SIGKILL: {-9}, signal.SIGTERM: {75, -15}, signal.SIGINT: {130, -2}, signal.SIGHUP: {75, -1}}
"""Codes of each; and 0, where it had finished."""


@dataclass(frozen=True)
class Work:
    """A command and what it makes.

    Args:
        result: what came of it in a folder, as text that does not depend on interruptions; empty if nothing did.
    """

    call: Sequence[str]
    result: Callable[[Path], str]


def _files(pattern: str) -> Callable[[Path], str]:
    def result(own: Path) -> str:
        files = sorted(own.glob(pattern))
        return digest(*files) if files else ""

    return result


def _cached(own: Path) -> str:
    """The captions that are in the cache, and how many tokens each has; last digits hang on what it is padded to."""
    from pixelflow.conditioners.token_cache import TokenCache, key_of

    (folder,) = {path.parent for path in (own / "cache").glob("*/*.safetensors")}
    cache = TokenCache(folder)
    states, mask = cache.read(cache.find([key_of(caption) for caption in CAPTIONS]))
    assert states.isfinite().all()
    return f"{len(cache)} captions, tokens {mask.sum(1).tolist()}"


CAPTIONS = [f"a picture of {number} cats" for number in range(6000)]

EDIT = ["sample", "runs/tiny", "--count", "400", "--steps", "20", "--out", "edited"]
WORKS = {
    "sample": Work(
        ["sample", "runs/tiny", "--count", "400", "--steps", "20", "--out", "drawn", "sampling.batch_size=40"],
        _files("drawn/0*.png"),
    ),
    "npz": Work(
        ["sample", "runs/tiny", "--count", "400", "--npz", "drawn.npz", "sampling.batch_size=40"], _files("drawn.npz")
    ),
    "eval": Work(
        ["eval", "runs/tiny", "--images", "400", "--steps", "20", "evaluation.metrics=[frechet]", "--out", "evaluated"],
        _files("evaluated/**/0*.png"),
    ),
    "edited": Work([*EDIT, "--from", "pictures/cat/000.png", "sampling.batch_size=40"], _files("edited/0*.png")),
    "export": Work(
        ["export", "dpg", "runs/text", "--prompts", "prompts", "--out", "exported"], _files("exported/**/*.png")
    ),
    "sweep": Work(["sweep", "run", "sweep.yaml"], _files("sweeps/**/step-*/ema.safetensors")),
    "cache-text": Work(["cache-text", "cached.yaml"], _cached),
}
SWEEP = "name: two\nbase: tiny.yaml\nset: {training.steps: 6}\naxes:\n  seed: [1, 2]\n  sampling.steps: [1, 2]\n"


def made(place: Path) -> Path:
    """Everything that the commands work on."""
    made_for_text(place)
    (place / "sweep.yaml").write_text(SWEEP)
    make_t5(place / "t5")
    (place / "prompts").mkdir()
    for number in range(80):
        (place / f"prompts/{number}.txt").write_text(f"{number} cats")
    text = (place / "text.yaml").read_text().replace("root: pictures", "root: many")
    (place / "cached.yaml").write_text(text.replace("[bytes]", "[{type: t5, model: t5, max_tokens: 40, cache: cache}]"))
    pictures(place / "many", 1, ["one"])
    lines = [json.dumps({"file_name": "one/000.png", "text": caption}) for caption in CAPTIONS]
    (place / "many/metadata.jsonl").write_text("\n".join(lines))
    return place


def others(row: Row, place: Path, count: int) -> None:
    """`count` interruptions of each command, until which it goes on again and again."""
    ready = made(place / "made")
    for name, work in WORKS.items():
        own, peace = place / name, place / f"{name}-whole"
        shutil.copytree(ready, peace)
        began = time.monotonic()
        undisturbed = _ended(work, peace)
        seconds = time.monotonic() - began
        assert undisturbed.code == 0, (name, undisturbed.said)
        wanted = work.result(peace)
        shutil.copytree(ready, own)
        for trial, random in enumerate(seeds(f"{row.fault} {name}", count)):
            how = ENDS[trial % len(ENDS)]
            done = _ended(work, own, random.uniform(0.1, 1.0) * seconds, how)
            verdict = verdict_of(done, done.code in _LEFT[how] | {0}, "lost")
            if verdict == "survived" and done.code == 0:
                verdict = _judged(work, own, wanted)
                shutil.rmtree(own)
                shutil.copytree(ready, own)
            row.count(verdict, f"{name} {how.name}: {done.code} {done.said[-300:]}")
        last = run(work.call, own)
        verdict = verdict_of(last, last.code == 0, "lost")
        verdict = _judged(work, own, wanted) if verdict == "survived" else verdict
        row.count(verdict, f"{name} at the end: {last.code} {last.said[-300:]}")


def _ended(work: Work, own: Path, moment: float | None = None, how: signal.Signals = signal.SIGTERM) -> Ended:
    """The command, which gets a signal after so many seconds."""
    process = Copy(whole(work.call), own, own / "said")
    if moment is not None:
        time.sleep(moment)
        if process.poll() is None:
            os.kill(process.pid, how)
    return ended(process, own / "said")


def _judged(work: Work, own: Path, wanted: str) -> str:
    """Whether what was made is what an undisturbed command makes."""
    return "survived" if wanted and work.result(own) == wanted else "silent"
