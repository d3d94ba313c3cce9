"""Shared fixtures: a tiny experiment that every part can be tried on."""

from __future__ import annotations

import gc
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from hypothesis import HealthCheck, settings

from pixelflow.core import reading
from pixelflow.core.assembly import build_model
from pixelflow.core.model import FlowModel
from pixelflow.core.spec import ExperimentSpec
from pixelflow.runs import checkpoint
from pixelflow.runs.runfolder import RunFolder
from pixelflow.training.curves import Curves
from tests import processes

torch.set_num_threads(1)
# How long an example takes says more of what else the machine does than of the code.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

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


def lively_model(spec: ExperimentSpec, seed: int = 0) -> FlowModel:
    """A fresh model whose zero-initialised weights are random too, so that every input matters."""
    torch.manual_seed(seed)
    model = build_model(spec)
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)
    return model


CLASSES = tuple(f"class {index}" for index in range(10))


def make_run(
    path: Path, spec: ExperimentSpec, *, seed: int = 0, step: int = 7, classes: Sequence[str] = CLASSES
) -> Path:
    """A run folder with one checkpoint; its averaged and its raw weights differ."""
    run = RunFolder.create(path, spec, classes)
    weights = {"ema": lively_model(spec, seed).state_dict(), "model": lively_model(spec, seed + 1).state_dict()}
    checkpoint.save(run.checkpoints, step, weights, {}, keep=2)
    return path


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """What ``-n auto`` means: one more than there are cores, for many tests wait for processes or for a disk."""
    return len(os.sched_getaffinity(0)) + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    gc.enable()
    processes.share()


def pytest_configure(config: pytest.Config) -> None:
    """Workers begin to collect at different places: of a new clone each compiles a part for all."""
    gc.disable()  # nearly all that is made until everything is collected stays
    worker = getattr(config, "workerinput", None)
    if worker is not None and config.args == config.getini("testpaths"):
        places = [place for place in sorted(Path(__file__).parent.iterdir()) if place.is_dir() or place.match("test_*")]
        found = [str(place) for place in places if place.name[0] not in "._"]
        turn = len(found) * int(worker["workerid"].removeprefix("gw")) // worker["workercount"]
        config.args[:] = found[turn:] + found[:turn]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """One order in all workers."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.path)


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Features of real images are kept in a folder of this process."""
    os.environ["PIXELFLOW_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def no_loss_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the time that a tiny training takes is that of its ``loss.png``; test_curves.py has it drawn."""
    monkeypatch.setattr(Curves, "draw", lambda curves: None)


@pytest.fixture
def warm_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep's workers on this machine, and what they start, are processes of `tests.processes`."""
    own = SimpleNamespace(**{**vars(subprocess), "Popen": processes.popen})
    monkeypatch.setattr("pixelflow.sweep.executors.local.subprocess", own)
    monkeypatch.setattr("pixelflow.sweep.work.together.subprocess", own)


@pytest.fixture
def tiny_spec() -> ExperimentSpec:
    return make_spec()


@pytest.fixture
def tiny_file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return path
