"""Everything that is believed of each kind of kept file, as plain data that can be compared."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch

from pixelflow.cli import completing
from pixelflow.conditioners import token_cache
from pixelflow.conditioners.token_cache import TokenCache, key_of
from pixelflow.core import attention_speed
from pixelflow.data.tar_index import TarIndex
from pixelflow.evaluation.features import _read
from pixelflow.evaluation.folders import Pictures
from pixelflow.evaluation.records import EVALUATION
from pixelflow.evaluation.statistics import SavedStatistics
from pixelflow.generation.exports.drawing import _kept as kept
from pixelflow.generation.gallery import read_order
from pixelflow.generation.whole_png import is_whole
from pixelflow.metrics.classifier import read
from pixelflow.runs import checkpoint
from pixelflow.runs.history import History
from pixelflow.runs.runfolder import RunFolder
from pixelflow.runs.stored import stored
from pixelflow.runs.weight_file import TrainedWeights
from pixelflow.sweep.points.plan import Plan
from pixelflow.sweep.report.results import read_results
from pixelflow.sweep.work.study import JOURNAL
from pixelflow.sweep.work.study import _check as check
from pixelflow.sweep.work.task import FAILED
from pixelflow.sweep.work.tasks import _noted as noted
from pixelflow.trackers.identity import identity
from pixelflow.training.curves import Course
from pixelflow.training.initial import INHERITED


def run(folder: Path) -> Any:
    """Settings, classes, history and newest weights."""
    opened = RunFolder(folder)
    found = checkpoint.load(opened.checkpoints, parts=("ema",))
    weights = found.tensors["ema"].items()
    told = {name: (tensor.shape, tensor.view(torch.uint8).sum().item()) for name, tensor in weights}
    history = [repr(one) for one in opened.history.evaluated]
    return opened.read_spec().model_dump(mode="json"), opened.classes, history, found.step, told


def resumed(folder: Path) -> Any:
    """All that training goes on with."""
    found = checkpoint.load(folder / "checkpoints", parts=("ema", "model", "optimizer"))
    tensors = {part: {name: one.tolist() for name, one in named.items()} for part, named in found.tensors.items()}
    return found.step, found.state, tensors


def changed(folder: Path) -> Any:
    """What a run took from another, and its settings that changed."""
    return INHERITED.read(folder / "init.json"), list(History(folder / "changes.jsonl").lines())


def drawn(folder: Path) -> Any:
    """What drawing cost."""
    return noted(folder / "drawn.json")


def failed(folder: Path) -> Any:
    return FAILED.read(folder / "failed.json")


def course(folder: Path) -> Any:
    """Of a search."""
    check(folder / JOURNAL, content := (folder / JOURNAL).read_bytes())
    return content


PROMPTS = ("a red circle", "two blue squares")


def exported(folder: Path) -> Any:
    """What the images of an export were drawn from."""
    return kept(folder / "prompts.jsonl", PROMPTS)


def pictures(folder: Path) -> Any:
    """Those that need not be drawn again."""
    return [(file.name, file.read_bytes()) for file in sorted(folder.iterdir()) if is_whole(file)]


def samples(folder: Path) -> Any:
    return read_order(folder / "samples.json").model_dump(mode="json")


def drawing(folder: Path) -> Any:
    """What an evaluation takes from the record beside images."""
    found = Pictures(folder)
    return found.files, found.labels, found.captions, found.classes, found.notes


def losses(folder: Path) -> Any:
    """What ``loss.png`` shows."""
    course = Course(folder / "metrics.jsonl")
    course.read_on()
    return course.trained, course.held_out, course.averaged, course.by_stage


def tracked(folder: Path) -> Any:
    """The name by which a service knows the run."""
    return identity(folder)


def offered(folder: Path) -> Any:
    """Components that the shell completes; found anew where they are not believed."""
    before = os.environ.get("PIXELFLOW_CACHE")
    os.environ["PIXELFLOW_CACHE"] = str(folder)
    try:
        return completing._components()
    finally:
        os.environ["PIXELFLOW_CACHE"] = before or ""


def measured(folder: Path) -> Any:
    return EVALUATION.read(folder / "evaluation.json")


def shards(folder: Path) -> Any:
    """Offsets, labels and keys; made anew where they are not sound."""
    index = TarIndex(folder / "a.tar", None)
    parts = (index.images, index.texts, index.tables, index.labels)
    return [part.tolist() for part in parts], [index.key(place) for place in range(len(index))]


def tokens(folder: Path) -> Any:
    """The encoder and all captions' states."""
    (encoder,) = token_cache.encoders(folder)
    (cache,) = (TokenCache(inner) for inner in folder.iterdir())
    found = cache.find([key_of(f"caption {number}") for number in range(3)])
    if (found < 0).any():
        return encoder, found.tolist()
    states, mask = cache.read(found)
    return encoder, states.tolist(), mask.tolist()


def statistics(folder: Path) -> Any:
    saved = SavedStatistics(folder / "statistics.npz")
    return saved.recipe, [(one.extractor, one.mean.tolist(), one.covariance.tolist()) for one in saved.entries]


def features(folder: Path) -> Any:
    """A shard of features; None where it is to be extracted again."""
    shard = _read(folder / "00000000.npz")
    return None if shard is None else (shard.features.tolist(), [(one.where, one.reason) for one in shard.bad])


def classifier(folder: Path) -> Any:
    found = read(folder / "classifier.safetensors", torch.device("cpu"))
    return found.about, {name: tensor.double().sum().item() for name, tensor in found.network.state_dict().items()}


def sweep(folder: Path) -> Any:
    """The plan and the figures of every point."""
    below = folder / "search"
    plan = Plan.read(below)
    results = read_results(plan, below)
    return json.loads(plan.model_dump_json()), [repr((row.results, row.seconds_per_image)) for row in results.rows]


def averaged(folder: Path) -> Any:
    """An average that is made of all snapshots."""
    found = stored(RunFolder(folder), None, "0.07")
    return found.step, {name: one.tolist() for name, one in found.tensors.items()}


def alone(folder: Path) -> Any:
    """Exported weights."""
    found = TrainedWeights.read(folder / "weights.safetensors")
    tensors = {name: one.tolist() for name, one in found.tensors.items()}
    return found.spec.model_dump(mode="json"), found.step, found.weights, found.classes, tensors


def attention(folder: Path) -> Any:
    """The times of kernels; None where they are measured anew."""
    return attention_speed._kept(folder / "kept.json")
