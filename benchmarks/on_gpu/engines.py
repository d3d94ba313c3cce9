"""One process that trains by an engine of several, or by none: is it right on this device, how fast, does it go on.

    python benchmarks/on_gpu/engines.py none|ddp|fsdp FOLDER [--tiny]

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
from pathlib import Path

import torch
import torch.distributed as dist

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks import gpu
from pixelflow.core.spec import ExperimentSpec
from pixelflow.runs.runfolder import RunFolder
from pixelflow.system.engines import Engine, Replicas, Shards
from pixelflow.system.parallel import Parallel
from pixelflow.system.stopping import StopSignals
from pixelflow.training import state
from pixelflow.training.session import train

ENGINES = {
    "none": Engine,
    "ddp": Replicas,
    "fsdp": lambda parallel: Shards(parallel, 1, half=True),
}
WARM, TIMED, AFTER = 4, 8, 4
"""Steps until the blocks are compiled, steps that are timed, and steps after the checkpoint. Each four end with a
line, and wait for the device; the others wait for nothing."""
SAVED, LAST = WARM + TIMED, WARM + TIMED + AFTER


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
    """Losses and speed of a training, and the losses of those that go on from its checkpoint."""
    spec, is_gpu = experiment(parallel.device, tiny), parallel.device.type == "cuda"
    reached = {0: time.perf_counter()}

    def mark(step: int, state: object) -> None:
        if step in (WARM, SAVED):
            if is_gpu:
                torch.cuda.synchronize()
            reached[step] = time.perf_counter()

    run = train(spec, folder / wrap, parallel, StopSignals(), [mark])
    losses = losses_of(run)
    found: dict[str, object] = {
        "losses": losses,
        "rate": TIMED * spec.training.batch_size / (reached[SAVED] - reached[WARM]),
        "until_warm": reached[WARM] - reached[0],
        "peak": torch.cuda.max_memory_allocated() if is_gpu else 0,
    }
    plain = folder / "none"
    if wrap != "none" and plain.is_dir():  # what was trained without a wrap goes on with it
        shutil.copytree(plain, folder / "carried")
        found["carried_on"] = gone_on(spec, folder / "carried", parallel)
        shutil.rmtree(folder / "carried")
    return found | {"resumed": gone_on(spec, folder / wrap, parallel)}


def gone_on(spec: ExperimentSpec, path: Path, parallel: Parallel) -> list[float]:
    """The losses of a finished training whose last checkpoint is lost, and which went on from the one before."""
    shutil.rmtree(next((path / "checkpoints").glob(f"*{LAST}")))
    if parallel.device.type == "cuda":
        torch.cuda.empty_cache()
    return losses_of(train(spec, path, parallel, StopSignals()))


def losses_of(run: RunFolder) -> list[float]:
    """Means over four steps."""
    return [float(line["loss"]) for line in run.history.lines() if "loss" in line]


def experiment(device: torch.device, tiny: bool) -> ExperimentSpec:
    """The released class model at a quarter of its depth, so that its checkpoints lie on any disk."""
    bench = gpu.Bench(device, tiny, False, 0.0, None)
    changes = ["data={type: digits}", "training.precision=bfloat16", "training.compile=true", "training.workers=0"]
    changes += ["training.batch_size=4"] if tiny else ["training.batch_size=16", "backbone.depth=7"]
    changes += ["training.learning_rate=3e-4", f"training.steps={LAST}", f"training.save_every={SAVED}"]
    return gpu.spec_of(bench, *changes, f"training.log_every={AFTER}", "training.sample_every=null", "training.keep=3")


if __name__ == "__main__":
    main(*sys.argv[1:])
