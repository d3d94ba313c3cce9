"""Runs of the tiny spec, in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pixelflow.runs.runfolder import RunFolder
from pixelflow.system.parallel import Parallel
from pixelflow.system.stopping import StopSignals
from pixelflow.training.session import train
from tests.conftest import make_spec

Trained = Callable[..., RunFolder]


@pytest.fixture
def trained(tmp_path: Path) -> Trained:
    """Train the tiny spec with overrides in a folder of the given name."""

    def run(name: str, *overrides: str) -> RunFolder:
        with StopSignals() as signals:
            return train(make_spec(*overrides), tmp_path / name, Parallel(torch.device("cpu")), signals)

    return run


def lines_of(run: RunFolder | Path) -> list[dict[str, Any]]:
    """The lines of metrics, without what the clock decides and the hashes of it."""
    path = run.metrics_file if isinstance(run, RunFolder) else run / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in ("images_per_second", "sha256")} for line in lines]
