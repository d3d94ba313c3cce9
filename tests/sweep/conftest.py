"""Sweeps of the tiny spec."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pixelflow.sweep.points.plan import Plan
from pixelflow.sweep.points.points import read_sweep
from tests.conftest import TINY

QUICK = """
name: quick
base: tiny.yaml
set:
  image.size: 8
  training.steps: 1
  sampling.batch_size: 4
  evaluation: {images: 12, metrics: [{type: frechet, extractor: {type: pixels_pca, components: 4}}, label_agreement]}
"""

STEPS = """
axes:
  sampling.steps: [1, 2]
  sampling.guidance.scale: [1.0, 2.0]
"""

SweepFile = Callable[..., Path]


@pytest.fixture
def sweep_file(tmp_path: Path) -> SweepFile:
    """Write a sweep file of the tiny spec beside it."""

    def write(text: str = STEPS, head: str = QUICK) -> Path:
        (tmp_path / "tiny.yaml").write_text(TINY)
        path = tmp_path / "sweep.yaml"
        path.write_text(head + text)
        return path

    return write


@pytest.fixture
def plan_of(sweep_file: SweepFile) -> Callable[..., Plan]:
    """The plan of such a file."""

    def plan(text: str = STEPS) -> Plan:
        return Plan.of(*read_sweep(sweep_file(text)))

    return plan
