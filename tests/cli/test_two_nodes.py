"""torchrun on two "nodes" of this machine, as docs/clusters.md has it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from pixelflow.runs import checkpoint
from tests.conftest import TINY
from tests.training.test_distributed import free_port


@pytest.mark.slow
def test_two_nodes_train_together(tmp_path):
    (tmp_path / "tiny.yaml").write_text(TINY)
    rendezvous = ["--rdzv-backend", "c10d", "--rdzv-id", "tiny", "--rdzv-endpoint", f"127.0.0.1:{free_port()}"]
    command = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1", *rendezvous]
    command += [
        "-m",
        "pixelflow",
        "--",
        "train",
        str(tmp_path / "tiny.yaml"),
        "--out",
        str(tmp_path),
        "--device",
        "cpu",
    ]
    own = os.environ | {"OMP_NUM_THREADS": "1"}
    nodes = [subprocess.Popen(command, env=own, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [node.communicate(timeout=300)[1] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], said
    assert checkpoint.steps(tmp_path / "tiny" / "checkpoints") == [2, 4]
    assert sum("finished 4 steps" in text for text in said) == 1
