"""What a process takes of memory that trains with others: one that holds a share, and one that holds everything."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from pixelflow.core.assembly import build_dataset, resolve
from pixelflow.runs.runfolder import RunFolder
from pixelflow.system import engines
from pixelflow.system.distributed import joined
from pixelflow.system.stopping import StopSignals
from pixelflow.training.loader import batches
from pixelflow.training.loop import Trainer
from pixelflow.training.objective import Deal
from pixelflow.training.state import TrainState
from tests import processes
from tests.conftest import make_spec
from tests.training.test_distributed import free_port

WIDE = ("backbone={type: dit, depth: 8, heads: 16, head_dim: 64}", "training.batch_size=4")
"""About 150 million parameters, the largest of them a thirtieth of all."""

Measure = Callable[[int, int, int, Path, str], None]


def peak() -> int:
    """Bytes that this process has held at most since `forget`."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return int(lines["VmHWM"].split()[0]) * 1024


def forget() -> int:
    """Begin to look for a new peak; what is held now."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak()


def be(rank: int, size: int, port: int) -> None:
    """One of the processes that torchrun starts."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": str(size),
                   "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}  # fmt: skip


def measure(rank: int, size: int, port: int, folder: Path, mode: str) -> None:
    """The most that it takes while the model is made, and the bytes of the state that it then holds."""
    be(rank, size, port)
    with joined("cpu") as parallel:
        import torch.distributed.fsdp  # what importing takes is not the model's

        TrainState.begin(make_spec(f"training.parallel={mode}"), parallel, folder / "none")
        spec = make_spec(*WIDE, f"training.parallel={mode}")
        before = forget()
        state = TrainState.begin(spec, parallel, folder / "none")
        making = peak() - before
        for parameter in state.trained.values():
            parameter.grad = torch.zeros_like(parameter)
        state.optimizer.step(1e-4)
        kept = sum(state.engine.local(own).nbytes for part in state.parts.values() for own in part.values())
        torch.save((making, kept), folder / f"{rank}.pt")


def measure_steps(rank: int, size: int, port: int, folder: Path, mode: str) -> None:
    """The most that training takes, and the bytes of all gradients."""
    be(rank, size, port)
    if mode == "copies":
        engines.DistributedDataParallel = WithCopies
    with joined("cpu") as parallel:
        spec = make_spec(*WIDE, f"training.grad_accumulation={2 // size}")  # as many images at a time
        data = build_dataset(spec)
        spec, size = resolve(spec, data), spec.training.batch_size

        def share(step: int) -> list[int]:
            return Deal(spec, parallel)(step, size)[1].tolist()

        stream = batches(data, batch_size=size, seed=0, workers=0, first_step=0, bad_images=0, share=share)
        read = [next(stream) for _ in range(2)]
        run = RunFolder.create(folder / str(rank), spec, data.classes)
        before = forget()
        trainer = Trainer(run, spec, data, parallel, StopSignals())
        for batch in read:
            trainer.step(batch, 0.0)
        gradients = sum(own.nbytes for own in trainer.state.trained.values())
        torch.save((peak() - before, gradients), folder / f"{rank}.pt")


class WithCopies(DistributedDataParallel):
    """As torch does unless it is told otherwise: gradients are copied to the buckets in which they are averaged."""

    def __init__(self, module: nn.Module, **settings: bool) -> None:
        super().__init__(module, **settings | {"gradient_as_bucket_view": False})


def measured(size: int, folder: Path, mode: str, what: Measure = measure) -> list[int]:
    """The most of each of the numbers that processes measure of themselves."""
    folder.mkdir()
    port = free_port()
    assert processes.forked(what, [(rank, size, port, folder, mode) for rank in range(size)]) == [0] * size
    found = [torch.load(folder / f"{rank}.pt") for rank in range(size)]
    return [max(own) for own in zip(*found, strict=True)]


by_peaks = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="asks the kernel for the peak of memory"
)


@pytest.mark.slow
@by_peaks
def test_no_process_ever_holds_the_whole(tmp_path):
    """With two and with four shards: while weights are drawn, and of what is kept: weights, average, moments."""
    whole, kept = measured(2, tmp_path / "ddp", "ddp")
    for size, most in ((2, 0.65), (4, 0.4)):
        making, share = measured(size, tmp_path / f"fsdp{size}", "fsdp")
        print(f"{size} shards: {making / whole:.2f} of ddp while the model is made, {share / kept:.3f} of its state")
        assert making < most * whole
        assert share < 1.05 * kept / size


@pytest.mark.slow
@by_peaks
def test_gradients_are_averaged_without_a_second_copy(tmp_path):
    """Beside what one process takes for the same images at a time."""
    alone, gradients = measured(1, tmp_path / "alone", "ddp", measure_steps)
    views, copies = (measured(2, tmp_path / mode, mode, measure_steps)[0] for mode in ("ddp", "copies"))
    added, copied = ((one - alone) / gradients for one in (views, copies))
    print(f"averaging adds {added:.2f} times the gradients' memory; were they copied to buckets {copied:.2f}")
    assert added < 0.2
    assert copied > 0.8
