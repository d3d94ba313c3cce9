"""Every other file that a command is given or finds: the whole content replaced, or a good one damaged somewhere."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

import numpy as np

from benchmarks.torture.hostile import DEEP, jpeg, mangled
from benchmarks.torture.trials import Row, command, forked, refused_in_one_line, spec, verdict_of
from pixelflow.runs.runfolder import RunFolder
from pixelflow.runs.summary import summary
from pixelflow.system.errors import PixelflowError
from pixelflow.ui import sweeps_tab, watch_tab
from pixelflow.ui.curves import LossPicture
from pixelflow.ui.shelf import Shelf
from pixelflow.ui.telling import line_of

TEXT = ["train", "text.yaml", "training.steps=2", "training.sample_every=null"]
"""A training on captions."""


@dataclass(frozen=True)
class Given:
    """One file, and the command that reads it.

    Args:
        file: within a folder that `made` filled, perhaps as a pattern of one that is there.
        make: writes a good one there.
        call: the command, or what does its work, which succeeds with the good one.
    """

    file: str
    make: Callable[[Path], object]
    call: Sequence[str] | Callable[[], int]

    @property
    def command(self) -> Callable[[], int | None]:
        return self.call if callable(self.call) else command(*self.call)


def _parquet(path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    random = Random(0)
    rows = {"image": [jpeg(random) for _ in range(8)], "label": [0, 1] * 4, "text": ["a", "b"] * 4}
    pq.write_table(pa.table(rows), path)


def _saved_set(path: Path) -> None:
    import datasets

    random = Random(0)
    rows = {"image": [jpeg(random) for _ in range(8)], "label": [0, 1] * 4}
    datasets.Dataset.from_dict(rows).save_to_disk(str(path.parent))


def _table(path: Path) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["file_name", "text"], *([f"cat/00{index}.png", "a cat"] for index in range(8))])


def _sweep(path: Path) -> None:
    path.write_text("name: two\nbase: tiny.yaml\naxes:\n  sampling.steps: [1, 2]\n")


def _npz(path: Path) -> None:
    np.savez(path, arr_0=np.random.default_rng(0).integers(0, 255, (16, 16, 16, 3), np.uint8))


def _mapping(path: Path) -> None:
    path.write_text(json.dumps({"prompt": "a cat", "rewritten": "a black cat"}) + "\n")


def _picture(path: Path) -> None:
    path.write_bytes(jpeg(Random(0), (16, 16), "PNG"))


def _over(path: Path) -> None:
    path.write_text("name: over\nrun: runs/tiny\naxes:\n  sampling.steps: [1, 2]\n")


def _page() -> int:
    """What the page asks of runs and sweeps, without a browser; each refusal is a line, as on the page."""
    shelf, code = Shelf(Path("runs"), "cpu"), 0
    for name in shelf.names():
        path = shelf.path(name)
        looks: list[Callable[[], object]] = [
            partial(shelf.checkpoints, name),
            partial(shelf.open, name),
            partial(shelf.trainings.said, name),
            lambda path=path: watch_tab._state(summary(path)),
            lambda path=path: watch_tab._newest(RunFolder(path)),
            LossPicture(path).draw,
        ]
        for look in looks:
            code = _looked(look) or code
    return _looked(lambda: sweeps_tab._framed(Path("sweeps/over/report.html"))) or code


def _looked(look: Callable[[], object]) -> int:
    try:
        look()
    except Exception as error:
        print(line_of(error))
        return error.exit_code if isinstance(error, PixelflowError) else 1
    return 0


def _exists(path: Path) -> None:
    """It was made with the run."""
    assert path.exists(), path


_FEW = ["evaluation.metrics=[frechet]"]
_TRAIN = ["train", "tiny.yaml", "training.steps=1", "training.sample_every=null", "conditioners=[]"]
_ON = ["train", "tiny.yaml", "training.steps=3", "training.sample_every=null"]
_EDIT = ["sample", "runs/tiny", "--count", "1", "--out", "drawn", "--from"]
_NEWEST = "runs/tiny/checkpoints/step-00000002"

FILES: dict[str, Given] = {
    "parquet": Given("rows.parquet", _parquet, [*_TRAIN, "data={type: parquet, files: rows.parquet}", "--run", "p"]),
    "hf state": Given("saved/state.json", _saved_set, [*_TRAIN, "data={type: hf_dataset, path: saved}", "--run", "h"]),
    "hf info": Given(
        "saved/dataset_info.json", _saved_set, [*_TRAIN, "data={type: hf_dataset, path: saved}", "--run", "h"]
    ),
    "hf rows": Given(
        "saved/data-00000-of-00001.arrow", _saved_set, [*_TRAIN, "data={type: hf_dataset, path: saved}", "--run", "h"]
    ),
    "csv": Given("pictures/metadata.csv", _table, [*TEXT, "--run", "c"]),
    "caption file": Given("pictures/cat/000.txt", lambda path: path.write_text("a cat"), [*TEXT, "--run", "c"]),
    "spec": Given("tiny.yaml", _exists, ["validate", "tiny.yaml"]),
    "sweep": Given("sweep.yaml", _sweep, ["sweep", "run", "sweep.yaml", "--dry-run"]),
    "prompts": Given(
        "prompts.txt",
        lambda path: path.write_text("a cat\na dog\n"),
        ["sample", "runs/text", "--prompts", "prompts.txt", "--out", "drawn"],
    ),
    "mapping": Given(
        "map.jsonl",
        _mapping,
        [
            "sample",
            "runs/text",
            "--prompt",
            "a cat",
            "--rewriter",
            "{type: mapping, file: map.jsonl}",
            "--out",
            "drawn",
        ],
    ),
    "repeat": Given("before/samples.json", _exists, ["sample", "runs/tiny", "--repeat", "before/samples.json"]),
    "drawing": Given("before/samples.json", _exists, ["eval", "before", "--reference", "pictures", *_FEW]),
    "environment": Given("runs/tiny/environment.json", _exists, ["sample", "runs/tiny", "--count", "1"]),
    "manifest": Given(
        "runs/tiny/checkpoints/step-00000002/manifest.json", _exists, ["sample", "runs/tiny", "--count", "1"]
    ),
    "tensors": Given(
        "runs/tiny/checkpoints/step-00000002/ema.safetensors", _exists, ["sample", "runs/tiny", "--count", "1"]
    ),
    "reference": Given("real.npz", _npz, ["eval", "before", "--reference", "real.npz", *_FEW]),
    "statistics": Given("kept.npz", _exists, ["eval", "before", "--reference", "kept.npz", *_FEW]),
    "edited": Given("from.png", _picture, [*_EDIT, "from.png"]),
    "mask": Given("mask.png", _picture, [*_EDIT, "pictures/cat/000.png", "--mask", "mask.png"]),
    "unfinished": Given(
        "drawn/.unfinished/progress.json",
        lambda path: path.write_text("{}"),
        ["sample", "runs/tiny", "--count", "1", "--out", "drawn"],
    ),
    "optimizer": Given(f"{_NEWEST}/optimizer.safetensors", _exists, _ON),
    "lock": Given("runs/tiny/.lock", Path.touch, _ON),
    "plotted": Given("runs/tiny/metrics.jsonl", _exists, ["plot", "runs/tiny", "--out", "loss.png"]),
    "listed": Given("runs/tiny/spec.yaml", _exists, ["runs", "runs"]),
    "compared": Given("runs/tiny/environment.json", _exists, ["diff", "runs/tiny", "runs/text"]),
    "weights": Given(f"{_NEWEST}/state.json", _exists, ["export-weights", "runs/tiny", "weights.safetensors"]),
    "published": Given(f"{_NEWEST}/manifest.json", _exists, ["export-weights", "runs/tiny", "weights.safetensors"]),
    "sweep over a run": Given("over.yaml", _over, ["sweep", "run", "over.yaml", "--dry-run"]),
    "run of a sweep": Given(f"{_NEWEST}/ema.safetensors", _exists, ["sweep", "run", "over.yaml", "--dry-run"]),
    "plan": Given("sweeps/over/sweep.json", _exists, ["sweep", "report", "sweeps/over"]),
    "figures": Given("sweeps/cells/*/result.json", _exists, ["sweep", "report", "sweeps/over"]),
    "images of a sweep": Given("sweeps/cells/*/images/000000.png", _exists, ["sweep", "report", "sweeps/over"]),
    "claim": Given("sweeps/cells/*/.claim-000000000", _exists, ["sweep", "run", "over.yaml"]),
    "page: preview": Given("runs/tiny/samples/step-00000002.png", _picture, _page),
    "page: metrics": Given("runs/tiny/metrics.jsonl", _exists, _page),
    "page: spec": Given("runs/tiny/spec.yaml", _exists, _page),
    "page: said": Given("runs/.tiny.log", Path.touch, _page),
    "page: report": Given("sweeps/over/report.html", _exists, _page),
    "benchmark": Given(
        "prompts/a.txt",
        lambda path: path.write_text("a cat"),
        ["export", "dpg", "runs/text", "--prompts", "prompts", "--out", "exported"],
    ),
}


def _contents(random: Random, good: bytes) -> Iterator[Callable[[Path], object]]:
    """Whatever may bear the file's name."""
    texts = ["", "\0", "null", "7", "[]", "[1, 2]", '"text"', "[" * DEEP, '{"a":' * DEEP, "- " * DEEP, "\x1b[31m\u202e"]
    texts += ["9" * 10_000, "x" * (1 << 21), "a,b\n" * 3, '{"format": 99}', "key: \x1b[31m\n", "{" * 20_000]
    yield lambda path: os.mkfifo(path)
    yield lambda path: path.symlink_to("/dev/zero")
    yield lambda path: path.symlink_to(path)
    yield lambda path: path.symlink_to("/dev/tty")
    yield lambda path: path.mkdir()
    yield lambda path: path.write_bytes(b"\xff\xfe" + random.randbytes(1000))
    for text in texts:
        yield lambda path, text=text: path.write_text(text)
    for _ in range(12):
        content = mangled(good, random) if len(good) > 9 else random.randbytes(9)
        yield lambda path, content=content: path.write_bytes(content)


def made_for_text(place: Path) -> Path:
    """Runs, a drawing and statistics."""
    spec(place)
    text = (place / "tiny.yaml").read_text().replace("name: tiny", "name: text").replace("class_label", "bytes")
    (place / "text.yaml").write_text(text.replace("type: image_folder", "type: captioned_folder, uncaptioned: skip"))
    _over(place / "over.yaml")
    for number in range(8):
        (place / f"pictures/cat/00{number}.txt").write_text("a cat")
    for call in (
        ["train", "tiny.yaml", "training.steps=2", "training.sample_every=null"],
        TEXT,
        ["sample", "runs/tiny", "--count", "8", "--out", "before"],
        ["eval", "before", "--reference", "pictures", *_FEW, "--save-statistics", "kept.npz", "--out", "measured"],
        ["sweep", "run", "over.yaml"],
    ):
        done = forked(command(*call), place)
        assert done.code == 0, done.said
    return place


def files(row: Row, place: Path, count: int) -> None:
    """`count` contents of each file: the command does without it, or refuses it in one line."""
    made = made_for_text(place / "made")
    for name, given in FILES.items():
        row_of(row, made, place / "own", name, given, count)


def row_of(row: Row, made: Path, own: Path, name: str, given: Given, count: int) -> None:
    """The trials of one file."""

    def fresh() -> Path:
        shutil.rmtree(own, ignore_errors=True)
        shutil.copytree(made, own, symlinks=True)
        file = next(iter(sorted(own.glob(given.file))), own / given.file)
        file.parent.mkdir(parents=True, exist_ok=True)
        if "csv" in name:
            for path in own.rglob("pictures/cat/*.txt"):
                path.unlink()
        given.make(file)
        return file

    good = fresh()
    content = good.read_bytes()
    control = forked(given.command, own)
    assert control.code == 0, (name, control.said)
    random = Random(name)
    contents = list(_contents(random, content))
    for trial, target in enumerate(random.sample(contents, min(count, len(contents)))):
        file = fresh()
        with suppress(FileNotFoundError):
            file.unlink()
        target(file)
        done = forked(given.command, own)
        steers = "\x1b[31m" in done.said or "\u202e" in done.said
        is_right = (done.code == 0 or refused_in_one_line(done)) and not steers
        row.count(verdict_of(done, is_right), f"{name} {trial}: {done.code} {done.said[-300:]}")
