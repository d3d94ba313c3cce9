"""Small files of every kind that is kept, as of the newest format, and how to look at them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import torch

from pixelflow.conditioners import token_cache
from pixelflow.core.interfaces import BadSample
from pixelflow.data.tar_index import TarIndex
from pixelflow.evaluation import features, statistics
from pixelflow.evaluation.records import EVALUATION
from pixelflow.generation.gallery import SAMPLES
from pixelflow.metrics import classifier
from pixelflow.runs import checkpoint
from pixelflow.runs.runfolder import ENVIRONMENT, RunFolder
from pixelflow.sweep.points.plan import Plan
from pixelflow.sweep.work.tasks import tasks_of
from tests import looks
from tests.flips import Subject

FORMAT_1 = Path(__file__).parent / "formats" / "1"


def sealed(folder: Path) -> Path:
    """The files of format 1, written anew as of the newest."""
    shutil.copytree(FORMAT_1, folder)
    _seal_run(folder / "run")
    SAMPLES.write(folder / "samples/samples.json", SAMPLES.read(folder / "samples/samples.json"))
    EVALUATION.write(folder / "measured/evaluation.json", EVALUATION.read(folder / "measured/evaluation.json"))
    os.utime(folder / "shards/a.tar", (1700000000, 1700000000))
    (folder / "shards/a.tar.index.safetensors").unlink()
    TarIndex(folder / "shards/a.tar", None)
    _seal_tokens(folder / "tokens")
    saved = statistics.SavedStatistics(folder / "statistics.npz")
    (folder / "saved").mkdir()
    statistics.save(folder / "saved/statistics.npz", saved.entries, {}, "identity")
    for name in ("features", "classifier"):
        (folder / name).mkdir()
    rows = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    features._write(folder / "features/00000000.npz", features._Shard(rows, [BadSample("a.png", "torn")]))
    torch.manual_seed(0)
    about = classifier.About(("a", "b"), 16, 0.9, {})
    classifier.save(folder / "classifier/classifier.safetensors", classifier.Network(2), about)
    search = folder / "sweeps/search"
    plan = Plan.read(search)
    plan.write(search)
    for task in tasks_of(plan, search):
        task.kind.write(task.folder / "result.json", task.result)
    return folder


def _seal_run(path: Path) -> None:
    run = RunFolder(path)
    found = checkpoint.load(run.checkpoints, parts=("ema", "model", "optimizer"))
    shutil.rmtree(run.checkpoints)
    checkpoint.save(run.checkpoints, found.step, found.tensors, found.state, keep=1)
    run.write_spec(run.read_spec())
    ENVIRONMENT.write(path / "environment.json", run.environment)
    lines = list(run.history.lines())
    run.metrics_file.unlink()
    fresh = RunFolder(path).history
    for line in lines:
        fresh.append(line)


def _seal_tokens(root: Path) -> None:
    (folder,) = root.iterdir()
    cache, (encoder,) = token_cache.TokenCache(folder), token_cache.encoders(root)
    keys = [token_cache.key_of(f"caption {number}") for number in range(3)]
    states, mask = cache.read(cache.find(keys))
    shutil.rmtree(folder)
    token_cache.create(folder, encoder)
    own = {key: one[:length] for key, one, length in zip(keys, states, mask.sum(1).tolist(), strict=True)}
    token_cache.write_shard(folder, own)


SUBJECTS = {
    "run": (looks.run, ("spec.yaml", "environment.json", "metrics.jsonl", "checkpoints/*/[ems]*"), True),
    "samples": (looks.samples, ("samples.json",), False),
    "measured": (looks.measured, ("evaluation.json",), False),
    "shards": (looks.shards, ("*.safetensors",), False),
    "tokens": (looks.tokens, ("*/*",), False),
    "saved": (looks.statistics, ("*",), False),
    "features": (looks.features, ("*",), True),
    "classifier": (looks.classifier, ("*",), False),
    "sweeps": (looks.sweep, ("search/sweep.json", "cells/*/result.json"), False),
}


def subjects(folder: Path) -> list[Subject]:
    """All kinds, of files below a folder that `sealed` made."""
    return [
        Subject(name, folder / name, look, patterns, may_lose) for name, (look, patterns, may_lose) in SUBJECTS.items()
    ]
