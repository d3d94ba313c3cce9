"""Speed-up of `sample` and `eval` by two processes on two cores over one process on one.

    python benchmarks/processes.py [IMAGES]

Each command is carried out with few and with many images, so that what starting costs falls out of the difference; an
evaluation before them leaves the features of the real images to all. About two minutes. The machine must have two idle
cores; on a busy one the figures mean nothing.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from pixelflow.core import reading, shipped
from pixelflow.core.assembly import build_dataset, build_model, resolve
from pixelflow.core.spec import ExperimentSpec
from pixelflow.runs import checkpoint
from pixelflow.runs.runfolder import RunFolder

FEW, MANY, AIM = 32, 544, 1.8
"""Images, both whole batches for one and for two processes; and what the speed-up should be."""
SETTINGS = ("sampling.batch_size=16", "sampling.steps=20", "evaluation.metrics=[frechet]")


def random_run(folder: Path) -> Path:
    """A run of the spec digits with random weights: what they are costs no time."""
    document = reading.override(reading.read_document(shipped.found(Path("digits"))), SETTINGS)
    spec = reading.validate(ExperimentSpec, document)
    dataset = build_dataset(spec)
    spec = resolve(spec, dataset)
    run = RunFolder.create(folder, spec, dataset.classes)
    checkpoint.save(run.checkpoints, 1, {"ema": build_model(spec).state_dict()}, {}, keep=1)
    return folder


def seconds(size: int, *arguments: str) -> float:
    """Of a command that `size` processes carry out, each on a core of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pixelflow", *arguments, "--device", "cpu"]
    cores = sorted(os.sched_getaffinity(0))
    began = time.perf_counter()
    started = []
    for rank in range(size):
        ranks = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
        one = subprocess.Popen(command, env=os.environ | own | ranks, stdout=subprocess.DEVNULL)
        os.sched_setaffinity(one.pid, {cores[rank]})
        started.append(one)
    codes = [one.wait() for one in started]
    assert not any(codes), codes
    return time.perf_counter() - began


def speed_up(run: Path, folder: Path, command: str, option: str, many: int) -> float:
    """Seconds that further images take one process over those that they take two."""
    took = {}
    for size in (1, 2):
        times = [
            seconds(size, command, str(run), option, str(count), "--out", str(folder / f"{command}-{size}-{count}"))
            for count in (FEW, many)
        ]
        took[size] = times[1] - times[0]
    return took[1] / took[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=int, nargs="?", default=MANY)
    images = parser.parse_args().images
    torch.set_num_threads(1)
    assert len(os.sched_getaffinity(0)) > 1, "two cores are needed"
    with tempfile.TemporaryDirectory() as below:
        folder = Path(below)
        os.environ["PIXELFLOW_CACHE"] = str(folder / "cache")
        run = random_run(folder / "run")
        seconds(1, "eval", str(run), "--images", str(FEW), "--out", str(folder / "before"))
        for command, option in (("sample", "--count"), ("eval", "--images")):
            found = speed_up(run, folder, command, option, images)
            print(f"{command}: {found:.2f} times as fast with two processes (aim {AIM})", flush=True)


if __name__ == "__main__":
    main()
