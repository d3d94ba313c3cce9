"""The release's recorded numbers, and its weights published and imported as a user would do it.

The .npz files were recorded from the authors' implementation in float32 on a CPU, with small random weights:
``weights/NAME`` is the state dict, the other keys are inputs and outputs (see the tests for each).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import pixelflow
from pixelflow.core.schedule import Stage
from pixelflow.generation.run import Run
from pixelflow.official.exchange import import_release
from tests.golden.published import publish

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Golden:
    """One recording and the run made of its weights."""

    run: Run
    values: Mapping[str, np.ndarray]

    def __getitem__(self, key: str) -> Tensor:
        return torch.from_numpy(self.values[key])

    def noise(self, solver: str) -> list[Tensor]:
        return [self[f"sample/{solver}/noise/{stage.index}"] for stage in self.stages]

    def steps(self, solver: str) -> list[int]:
        return self[f"sample/{solver}/steps"].tolist()

    @property
    def stages(self) -> tuple[Stage, ...]:
        return self.run.model.cascade.stages


def _golden(name: str, folder: Path) -> Golden:
    with np.load(HERE / f"official_{name}_4stage.npz") as file:
        values = dict(file)
    import_release(publish(folder / "published", values), folder / "run")
    return Golden(pixelflow.load(folder / "run", device="cpu"), values)


@pytest.fixture(scope="session")
def class_model(tmp_path_factory: pytest.TempPathFactory) -> Golden:
    return _golden("c2i", tmp_path_factory.mktemp("c2i"))


@pytest.fixture(scope="session")
def text_model(tmp_path_factory: pytest.TempPathFactory) -> Golden:
    return _golden("t2i", tmp_path_factory.mktemp("t2i"))
