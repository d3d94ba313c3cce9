"""One process that trains by an engine of several, or by none: is it right on this device, how fast, does it go on.

    python benchmarks/engines.py none|ddp|fsdp FOLDER [--tiny]

A part of benchmarks/gpu.py, which starts it. One process is a world of its own here, over NCCL (gloo on a CPU), so that
torch's DDP and FSDP2 do all that they do among many but wait for others: bf16, blocks compiled, a real training's
steps. Prints one line of JSON.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import torch
import torch.distributed as dist

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import gpu
from pixelflow.core.assembly import build_dataset, resolve
from pixelflow.core.interfaces import Dataset
from pixelflow.core.spec import ExperimentSpec
from pixelflow.runs.runfolder import RunFolder
from pixelflow.system.engines import Engine, Replicas, Shards
from pixelflow.system.parallel import Parallel
from pixelflow.system.stopping import StopSignals
from pixelflow.training import state
from pixelflow.training.loader import Batch, batches
from pixelflow.training.loop import Trainer

ENGINES = {
    "none": Engine,
    "ddp": Replicas,
    "fsdp": lambda parallel: Shards(parallel, 1, half=True),
}
WARM, TIMED, AFTER = 3, 8, 2
"""Steps until the blocks are compiled, steps that are timed, and steps after the checkpoint."""


def main(wrap: str, place: str, *options: str) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch._dynamo.config.recompile_limit = 64
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=0, world_size=1)
    parallel, folder = Parallel(device), Path(place)
    state.engine_for = lambda parallel, mode, *, half=False: ENGINES[wrap](parallel)  # type: ignore[assignment]
    print(json.dumps(measured(parallel, folder, wrap, "--tiny" in options)), flush=True)
    os._exit(0)  # to destroy a group that has just worked could wait for ever


def measured(parallel: Parallel, folder: Path, wrap: str, tiny: bool) -> dict[str, object]:
    spec, data = experiment(parallel.device, tiny)
    run = RunFolder.create(folder / wrap, spec, data.classes)
    trainer = Trainer(run, spec, data, parallel, StopSignals())
    with closing(read(spec, data, 0)) as stream:
        began = time.perf_counter()
        losses = steps(trainer, taken(stream, WARM))
        until_warm = time.perf_counter() - began
        if parallel.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        timed = taken(stream, TIMED)
        began = time.perf_counter()
        losses += steps(trainer, timed)
        rate = TIMED * spec.training.batch_size / (time.perf_counter() - began)
        peak = torch.cuda.max_memory_allocated() if parallel.device.type == "cuda" else 0
        began = time.perf_counter()
        trainer.save()
        stop = time.perf_counter() - began
        trainer.saver.finish()
        on = steps(trainer, taken(stream, AFTER))
    del trainer
    found = {"losses": losses, "on": on, "rate": rate, "peak": peak, "stop": stop, "until_warm": until_warm}
    found["resumed"] = resumed(run.path, spec, data, parallel)
    if (folder / "none").is_dir() and wrap != "none":  # what was trained without a wrap goes on with it
        found["carried_on"] = resumed(shutil.copytree(folder / "none", folder / "carried"), spec, data, parallel)
        shutil.rmtree(folder / "carried")
    return found


def experiment(device: torch.device, tiny: bool) -> tuple[ExperimentSpec, Dataset]:
    """The released class model at a quarter of its depth, so that its checkpoints lie on any disk."""
    bench = gpu.Bench(device, tiny, False, 0.0, None)
    changes = ["data={type: digits}", "training.precision=bfloat16", "training.compile=true"]
    changes += ["training.batch_size=4"] if tiny else ["training.batch_size=16", "backbone.depth=7"]
    changes += ["training.learning_rate=3e-4", f"training.steps={WARM + TIMED + AFTER}", "training.sample_every=null"]
    spec = gpu.spec_of(bench, *changes)
    data = build_dataset(spec)
    return resolve(spec, data), data


def read(spec: ExperimentSpec, data: Dataset, first: int) -> Iterator[Batch]:
    return batches(data, batch_size=spec.training.batch_size, seed=spec.seed, workers=0, first_step=first, bad_images=0)


def taken(stream: Iterator[Batch], count: int) -> list[Batch]:
    return [next(stream) for _ in range(count)]


def steps(trainer: Trainer, given: Sequence[Batch]) -> list[float]:
    """The mean loss of each; every step ends with numbers on the CPU, so the device has done it then."""
    found = []
    for batch in given:
        trainer.step(batch, time.perf_counter())
        line = trainer.state.window.line(trainer.state.step, 0.0)
        found.append(float(line["loss"]))
        trainer.state.window = type(trainer.state.window)()
    return found


def resumed(path: Path, spec: ExperimentSpec, data: Dataset, parallel: Parallel) -> list[float]:
    """The losses of the steps after a run's checkpoint."""
    if parallel.device.type == "cuda":
        torch.cuda.empty_cache()
    trainer = Trainer(RunFolder(path), spec, data, parallel, StopSignals())
    assert trainer.state.restored_step == WARM + TIMED
    with closing(read(spec, data, trainer.state.step)) as stream:
        return steps(trainer, taken(stream, AFTER))


if __name__ == "__main__":
    main(*sys.argv[1:])
