"""What a process that holds a share takes of memory, beside one that holds everything."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest
import torch

from pixelflow.system.distributed import joined
from pixelflow.training.state import TrainState
from tests.conftest import make_spec
from tests.training.test_distributed import free_port

WIDE = ("backbone={type: dit, depth: 8, heads: 16, head_dim: 64}", "training.batch_size=4")
"""About 150 million parameters, the largest of them a thirtieth of all."""


def peak() -> int:
    """Bytes that this process has held at most since `forget`."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return int(lines["VmHWM"].split()[0]) * 1024


def forget() -> int:
    """Begin to look for a new peak; what is held now."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak()


def measure(rank: int, size: int, port: int, folder: Path, mode: str) -> None:
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": str(size),
                   "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}  # fmt: skip
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


def measured(size: int, folder: Path, mode: str) -> tuple[int, int]:
    """The most that a process took while the model was made, and the bytes of the state that it holds."""
    folder.mkdir()
    fork, port = multiprocessing.get_context("fork"), free_port()
    started = [fork.Process(target=measure, args=(rank, size, port, folder, mode)) for rank in range(size)]
    for process in started:
        process.start()
    for process in started:
        process.join(240)
    assert [process.exitcode for process in started] == [0] * size
    found = [torch.load(folder / f"{rank}.pt") for rank in range(size)]
    return max(making for making, _ in found), max(kept for _, kept in found)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="asks the kernel for the peak of memory")
def test_no_process_ever_holds_the_whole(tmp_path):
    """With two and with four shards: while weights are drawn, and of what is kept: weights, average, moments."""
    whole, kept = measured(2, tmp_path / "ddp", "ddp")
    for size, most in ((2, 0.65), (4, 0.4)):
        making, share = measured(size, tmp_path / f"fsdp{size}", "fsdp")
        print(f"{size} shards: {making / whole:.2f} of ddp while the model is made, {share / kept:.3f} of its state")
        assert making < most * whole
        assert share < 1.05 * kept / size
