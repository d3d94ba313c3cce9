"""A class model by the minutes that there are: trained, drawn from and measured.

    python benchmarks/on_gpu/class_model.py PLACE [KEY=VALUE ...] --cifar10 FOLDER [--seconds 360] [--out FOLDER]

A part of benchmarks/gpu.py, which starts it. The spec is specs/recipe/cifar10-recipe.yaml, with the changes that are
given, for as many steps as fit into six tenths of the seconds; the rest is for compiling, drawing and measuring. In
PLACE are the runs; the folder of ``--out`` keeps the grid and, below 64 MB, the averaged weights in 16 bits. Prints one
line of JSON. ``--tiny`` trains a small network on digits.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from pathlib import Path

import torch

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

import pixelflow
from pixelflow.core import reading
from pixelflow.core.spec import ExperimentSpec
from pixelflow.costs.planning import costs
from pixelflow.generation.pictures import grid, write_png
from pixelflow.generation.run import Run
from pixelflow.runs.runfolder import RunFolder
from pixelflow.runs.weight_file import TrainedWeights

SPEC = ROOT / "specs/recipe/cifar10-recipe.yaml"
WARM, TIMED = 20, 80
"""Steps until the blocks are compiled, and steps that are timed."""
SHARE = 0.6
"""Of the seconds, for the training itself."""
LARGEST = 64e6
"""Bytes of weights that are kept."""
TINY = (
    "data={type: digits}", "image={size: 16, channels: 1}", "backbone={type: dit, depth: 1, heads: 2, head_dim: 16}",
    "training.batch_size=16", "training.workers=0", "training.warmup=2", "evaluation.images=20",
    "evaluation.metrics=[{type: frechet, extractor: random_conv}]", "training.precision=float32",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("place", type=Path)
    parser.add_argument("changes", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--name", default="class-model")
    parser.add_argument("--cifar10", type=Path, default=Path("data/cifar10"))
    parser.add_argument("--classifier", type=Path, metavar="FILE", help="of pixelflow train-extractor, to agree with")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=360.0)
    parser.add_argument("--out", type=Path, default=Path())
    parser.add_argument("--tiny", action="store_true")
    given = parser.parse_args()
    torch.manual_seed(0)
    changes = TINY if given.tiny else cifar10(given)
    changes += tuple(given.changes)
    rate = steps_a_second(experiment(f"{given.name}-timed", WARM + TIMED, *changes), given.place)
    steps = 4 * TIMED if given.tiny else int(given.seconds * SHARE * rate)
    run = pixelflow.train(experiment(given.name, steps, *changes), out=given.place)
    spec = run.spec
    kept(run, given.place / given.name, given.out)
    found = {
        "parameters, million": sum(tensor.numel() for tensor in run.model.parameters()) / 1e6,
        "training steps": float(steps),
        "training, images/s": rate * spec.training.batch_size,
        "training, PFLOP": costs(spec).training_flop / 1e15,
    }
    for result in pixelflow.evaluate(run, "evaluation.bootstrap=0"):
        for figure, value in result.values.items():
            found[f"{result.metric}: {figure}"] = float(value)
    print(json.dumps(found), flush=True)


def cifar10(given: argparse.Namespace) -> tuple[str, ...]:
    """What the recipe is told of the pictures and the machine."""
    metrics = [f"{{type: {metric}, extractor: efficientnet_lite0}}" for metric in ("frechet", "knn_precision_recall")]
    metrics += [f"{{type: classifier_agreement, weights: {given.classifier}}}"] if given.classifier else []
    return (
        f"data.root={given.cifar10 / 'train'}", f"evaluation.reference={given.cifar10 / 'test'}",
        f"evaluation.metrics=[{', '.join(metrics)}]", "sampling.batch_size=1000",
        "training.compile=true", f"training.workers={given.workers}",
    )  # fmt: skip


def experiment(name: str, steps: int, *changes: str) -> ExperimentSpec:
    """The recipe for so many steps, without anything on the way."""
    document = reading.override(
        reading.read_document(SPEC),
        [f"name={name}", f"training.steps={steps}", f"training.warmup={min(1000, steps // 10)}",
         "training.power_ema=null", "training.sample_every=null", f"training.save_every={steps}", *changes],
    )  # fmt: skip
    return reading.validate(ExperimentSpec, document)


def steps_a_second(spec: ExperimentSpec, place: Path) -> float:
    """By a short training, which compiles what the long one needs."""
    reached = dict[int, float]()

    def mark(step: int, state: object) -> None:
        if step in (WARM, WARM + TIMED):
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            reached[step] = time.perf_counter()

    pixelflow.train(spec, out=place, callbacks=[mark])
    return TIMED / (reached[WARM + TIMED] - reached[WARM])


def kept(run: Run, folder: Path, out: Path) -> None:
    """The grid of what the last step draws, and the weights if they are small."""
    drawn = run.sample(labels=[index % len(run.classes) for index in range(100)], seed=0)
    write_png(out / f"{folder.name}.png", grid(drawn, columns=len(run.classes)))
    weights = TrainedWeights.of(RunFolder(folder), None, "ema").in_bfloat16
    target = out / f"{folder.name}.safetensors"
    weights.write(target)
    if target.stat().st_size > LARGEST:
        target.unlink()
    shutil.copy(folder / "metrics.jsonl", out / f"{folder.name}-metrics.jsonl")


if __name__ == "__main__":
    main()
