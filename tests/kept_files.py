"""Small files of every kind that is kept, as of the newest format, and how to look at them."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from pixelflow.conditioners import token_cache
from pixelflow.core import attention_speed
from pixelflow.core.interfaces import BadSample
from pixelflow.core.training_settings import PowerEmaSpec
from pixelflow.data.tar_index import TarIndex
from pixelflow.evaluation import features, statistics
from pixelflow.evaluation.records import EVALUATION
from pixelflow.generation.gallery import SAMPLES
from pixelflow.metrics import classifier
from pixelflow.runs import checkpoint
from pixelflow.runs.history import History
from pixelflow.runs.power_average import part_of_length
from pixelflow.runs.runfolder import ENVIRONMENT, RunFolder
from pixelflow.runs.weight_file import TrainedWeights
from pixelflow.sweep.points.plan import Plan
from pixelflow.sweep.work.study import KNOWN
from pixelflow.sweep.work.task import FAILED
from pixelflow.sweep.work.tasks import DRAWN, tasks_of
from pixelflow.system import journal
from pixelflow.trackers.identity import identity
from pixelflow.training.initial import INHERITED
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
    features._write(folder / "features/00000000.npz", features.Shard(rows, [BadSample("a.png", "torn")]))
    torch.manual_seed(0)
    about = classifier.About(("a", "b"), 16, 0.9, {})
    classifier.save(folder / "classifier/classifier.safetensors", classifier.ClassifierNetwork(2), about)
    _seal_others(folder)
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


def _seal_others(folder: Path) -> None:
    """What former versions did not keep."""
    shutil.copytree(folder / "run", folder / "resumed")
    for name in ("changed", "costs", "failure", "course", "export", "pictures"):
        (folder / name).mkdir()
    INHERITED.write(folder / "changed/init.json", {"source": {"run": "other", "step": 4}, "taken": ["a", "b"]})
    for step in range(3):
        History(folder / "changed/changes.jsonl").append({"step": step, "changed": {"training.keep": {"now": step}}})
    DRAWN.write(folder / "costs/drawn.json", {"seconds_per_image": 0.25, "macs_per_image": 1024.0})
    FAILED.write(folder / "failure/failed.json", {"error": "it diverges", "log": "log.txt"})
    content = (folder / "sweeps/search/optuna.journal").read_bytes()
    (folder / "course/optuna.journal").write_bytes(content)
    about = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    KNOWN.write(folder / "course/optuna.json", about)
    pairs = [{"prompt": prompt, "caption": f"{prompt} in the snow"} for prompt in looks.PROMPTS]
    lines = "".join(f"{line.text}\n" for line in journal.all_sealed(pairs))
    (folder / "export/prompts.jsonl").write_text(lines)
    for name in ("pictures", "samples"):
        for index in range(2):
            pixels = np.random.default_rng(index).integers(0, 256, (4, 4, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index:06d}.png")
    shutil.copytree(folder / "samples", folder / "drawing")
    (folder / "losses").mkdir()
    shutil.copy(folder / "run/metrics.jsonl", folder / "losses")
    identity(folder / "tracked")
    looks.offered(folder / "offered")
    _seal_averages(folder)
    TrainedWeights.of(RunFolder(folder / "run"), None, "ema").write(folder / "exported.safetensors")
    (folder / "alone").mkdir()
    (folder / "exported.safetensors").rename(folder / "alone/weights.safetensors")
    (folder / "attention").mkdir()
    attention_speed._KEPT.write(folder / "attention/kept.json", {"milliseconds": {"varlen": 1.5, "grouped": 2.0}})


def _seal_averages(folder: Path) -> None:
    """Two snapshots of averages by a power of time, in a run without checkpoints."""
    shutil.copytree(folder / "run", folder / "averaged")
    run = RunFolder(folder / "averaged")
    weights = checkpoint.load(run.checkpoints, parts=("ema",)).tensors["ema"]
    shutil.rmtree(run.checkpoints)
    spec = run.read_spec()
    power = PowerEmaSpec(lengths=(0.05, 0.1), every=2)
    run.write_spec(spec.model_copy(update={"training": spec.training.model_copy(update={"power_ema": power})}))
    for step in (2, 4):
        parts = {
            part_of_length(length): {name: one + step * length for name, one in weights.items()}
            for length in power.lengths
        }
        checkpoint.save(run.averages, step, parts, {"step": step}, keep=9)


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
    "resumed": (looks.resumed, ("checkpoints/*/*",), False),
    "changed": (looks.changed, ("*",), True),
    "run": (looks.run, ("spec.yaml", "environment.json", "metrics.jsonl", "checkpoints/*/[ems]*"), True),
    "samples": (looks.samples, ("samples.json",), False),
    "drawing": (looks.drawing, ("samples.json",), True),
    "losses": (looks.losses, ("metrics.jsonl",), True),
    "tracked": (looks.tracked, ("run-id.txt",), False),
    "offered": (looks.offered, ("completion/components.json",), False),
    "measured": (looks.measured, ("evaluation.json",), False),
    "shards": (looks.shards, ("*.safetensors",), False),
    "tokens": (looks.tokens, ("*/*",), False),
    "saved": (looks.statistics, ("*",), False),
    "features": (looks.features, ("*",), True),
    "classifier": (looks.classifier, ("*",), False),
    "sweeps": (looks.sweep, ("search/sweep.json", "cells/*/result.json"), False),
    "costs": (looks.drawn, ("drawn.json",), True),
    "failure": (looks.failed, ("failed.json",), False),
    "course": (looks.course, ("optuna.journal", "optuna.json"), False),
    "export": (looks.exported, ("prompts.jsonl",), False),
    "pictures": (looks.pictures, ("*.png",), True),
    "averaged": (looks.averaged, ("averages/*/*",), False),
    "alone": (looks.alone, ("*",), False),
    "attention": (looks.attention, ("*",), True),
}


def subjects(folder: Path) -> list[Subject]:
    """All kinds, of files below a folder that `sealed` made."""
    return [
        Subject(name, folder / name, look, patterns, may_lose) for name, (look, patterns, may_lose) in SUBJECTS.items()
    ]
