"""Much of everything: pictures, captions, points of a sweep, samples."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from benchmarks.torture.trials import Row, command, forked, spec, verdict_of
from pixelflow.runs.history import History
from pixelflow.system import journal


def load(row: Row, place: Path, scale: float) -> None:
    """Each within its seconds of a processor and its memory; three times as long where others use it too."""
    for what, seconds, call in (
        ("pictures", 60, _pictures),
        ("captions", 60, _captions),
        ("points", 10, _points),
        ("samples", 120, _samples),
        ("lines of metrics", 20, _metrics),
    ):
        own = place / what.split()[0]
        spec(own)
        arguments = call(own, scale)
        began = time.monotonic()
        done = forked(command(*arguments), own, 3 * seconds)
        took = f"{time.monotonic() - began:.1f} s, {done.busy:.1f} s of a processor, {done.memory >> 20} MB"
        note = f"{what}: {done.code} in {took}"
        verdict = "hangs" if done.busy > seconds else verdict_of(done, done.code == 0)
        row.count(verdict, f"{note} {done.said[-300:]}")
        row.notes.append(note)


def _pictures(own: Path, scale: float) -> list[str]:
    """200,000 names of eight pictures."""
    source = own / "pictures/cat/000.png"
    for index in range(round(200_000 * scale)):
        if index % 30_000 == 0:  # a file has at most 65,000 names
            source = source.with_name(f"copy{index}.png")
            source.write_bytes((own / "pictures/dog/000.png").read_bytes())
        os.link(source, own / f"pictures/dog/{index:06}x.png")
    return ["train", "tiny.yaml", "training.steps=2", "training.sample_every=null"]


def _captions(own: Path, scale: float) -> list[str]:
    """A million lines of captions for sixteen pictures."""
    with (own / "pictures/metadata.jsonl").open("w") as file:
        for index in range(round(1_000_000 * scale)):
            name = f"{'cat' if index % 16 < 8 else 'dog'}/{index % 8:03}.png"
            file.write(json.dumps({"file_name": name, "text": f"a picture {index}"}) + "\n")
    data = "data={type: captioned_folder, root: pictures}"
    return ["train", "tiny.yaml", data, "conditioners=[bytes]", "training.steps=2", "training.sample_every=null"]


def _points(own: Path, scale: float) -> list[str]:
    """2,000 points of a sweep."""
    rates = [f"{1e-4 * (1 + index):g}" for index in range(max(1, round(200 * scale)))]
    (own / "sweep.yaml").write_text(
        f"name: many\nbase: tiny.yaml\naxes:\n  training.learning_rate: [{', '.join(rates)}]\n"
        "  sampling.steps: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]\n"
    )
    return ["sweep", "run", "sweep.yaml", "--dry-run"]


def _samples(own: Path, scale: float) -> list[str]:
    """5,000 pictures."""
    forked(command("train", "tiny.yaml", "training.steps=2", "training.sample_every=null"), own)
    return ["sample", "runs/tiny", "--count", str(round(5000 * scale)), "--steps", "1"]


def _metrics(own: Path, scale: float) -> list[str]:
    """A run that has logged for a million lines goes on."""
    forked(command("train", "tiny.yaml", "training.steps=2", "training.sample_every=null"), own)
    file = own / "runs/tiny/metrics.jsonl"
    history = History(file)
    (*_, last), position = history.lines(), history.position
    told = {key: value for key, value in last.items() if key not in ("format", "sha256")}
    with file.open("a") as out:
        for _ in range(round(1_000_000 * scale)):
            line = journal.sealed(told, position)
            position = line.position
            out.write(line.text + "\n")
    return ["train", "tiny.yaml", "training.steps=6", "training.sample_every=null"]
