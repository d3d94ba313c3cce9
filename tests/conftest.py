"""Shared fixtures: a tiny experiment that every part can be tried on."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

from pixelflow.core import reading
from pixelflow.core.spec import ExperimentSpec

torch.set_num_threads(1)

TINY = """
name: tiny
seed: 3
image: {size: 16, channels: 1}
data: digits
cascade: {stages: 2, patch: 2}
backbone: {type: dit, depth: 2, heads: 2, head_dim: 16}
conditioners: [{type: class_label, classes: 10}]
training: {steps: 4, batch_size: 8, learning_rate: 1e-3, save_every: 2, log_every: 1, sample_every: null, ema: 0.9}
sampling: {steps: 3, guidance: {type: constant, scale: 1.5}}
"""


def make_spec(*overrides: str, text: str = TINY) -> ExperimentSpec:
    """The tiny spec with ``key=value`` overrides."""
    return reading.validate(ExperimentSpec, reading.override(reading.parse(text, "tiny.yaml"), overrides))


@pytest.fixture()
def tiny_spec() -> ExperimentSpec:
    return make_spec()


@pytest.fixture()
def tiny_file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return path
