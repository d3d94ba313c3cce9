"""torchrun on two "nodes" of this machine, as docs/clusters.md has it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pixelflow.runs import checkpoint
from tests.conftest import TINY
from tests.training.test_distributed import free_port


class Node:
    """A torchrun with one process, or some."""

    def __init__(self, tmp_path: Path, name: str, port: int, *overrides: str, processes: int = 1) -> None:
        (tmp_path / "tiny.yaml").write_text(TINY)
        rendezvous = ["--rdzv-backend", "c10d", "--rdzv-id", "tiny", "--rdzv-endpoint", f"127.0.0.1:{port}"]
        command = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", *rendezvous]
        command += ["--nproc-per-node", str(processes)]
        command += ["-m", "pixelflow", "--", "train", str(tmp_path / "tiny.yaml"), *overrides]
        command += ["--out", str(tmp_path), "--device", "cpu"]
        self._file = tmp_path / name
        with self._file.open("w") as file:
            self.process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=file)

    @property
    def said(self) -> str:
        return self._file.read_text()


def started(tmp_path: Path, name: str, *overrides: str, processes: int = 1) -> list[Node]:
    port = free_port()
    return [Node(tmp_path, f"{name}-{place}.txt", port, *overrides, processes=processes) for place in range(2)]


@pytest.mark.slow
def test_two_nodes_train_together(tmp_path):
    nodes = started(tmp_path, "whole")
    assert [node.process.wait(300) for node in nodes] == [0, 0], [node.said for node in nodes]
    assert checkpoint.steps(tmp_path / "tiny" / "checkpoints") == [2, 4]
    assert sum("finished 4 steps" in node.said for node in nodes) == 1


@pytest.mark.slow
def test_the_processes_of_each_node_hold_a_model_together(tmp_path):
    """As torchrun tells them, of which node they are."""
    nodes = started(tmp_path, "whole", "training.parallel=hybrid", processes=2)
    assert [node.process.wait(300) for node in nodes] == [0, 0], [node.said for node in nodes]
    (newest,) = (tmp_path / "tiny" / "checkpoints").glob("*4")
    assert sorted(file.name for file in newest.glob("ema*")) == ["ema-1-of-2.safetensors", "ema-2-of-2.safetensors"]


@pytest.mark.slow
def test_a_signal_to_torchrun_reaches_all_and_the_same_command_goes_on(tmp_path):
    """As a cluster gives its machines another job."""
    quick = ("training.save_every=100000", "image.size=8", "training.log_every=1")
    nodes = started(tmp_path, "stopped", "training.steps=100000", *quick)
    while not any("step 5/" in node.said for node in nodes):
        assert all(node.process.poll() is None for node in nodes), [node.said for node in nodes]
        time.sleep(0.1)
    for node in nodes:
        node.process.send_signal(signal.SIGTERM)
    for node in nodes:
        node.process.wait(120)
    (saved,) = checkpoint.steps(tmp_path / "tiny" / "checkpoints")
    assert all(f"stopped after step {saved} and saved" in node.said for node in nodes)
    again = started(tmp_path, "again", f"training.steps={saved + 1}", *quick)
    assert [node.process.wait(300) for node in again] == [0, 0], [node.said for node in again]
    assert any(f"continuing after step {saved}" in node.said for node in again)
