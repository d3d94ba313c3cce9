"""Checks of trackers: what the training does with one, in a folder that is thrown away."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from pydantic import JsonValue

from pixelflow.contracts.checking import Check, expect
from pixelflow.core.interfaces import Tracker

_SPEC: Mapping[str, JsonValue] = {
    "name": "checked",
    "training": {"steps": 4, "trackers": [{"type": "several"}]},
    "conditioners": [],
}


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        Image.new("RGB", (20, 12), (200, 30, 30)).save(Path(folder) / "picture.png")
        yield Path(folder)


def _track(params: Tracker.Params, folder: Path, first: int) -> None:
    """Two steps after `first`, as a training tells of them."""
    tracker: Tracker = params.build(folder=folder / "tracker", run="checked")
    tracker.begin(_SPEC, first)
    for step in (first + 1, first + 2):
        tracker.scalars(step, {"loss": 1 / step, "loss_of_stage/0": 0.5, "evaluation/fid/fid": 12.0})
    tracker.scalars(first + 2, {})
    tracker.pictures(first + 2, {"samples": folder / "picture.png"})
    tracker.end()


def takes_what_a_training_tells(params: Tracker.Params) -> None:
    """Settings, numbers, no numbers and a picture are taken, and the end."""
    with _folder() as folder:
        _track(params, folder, 0)


def goes_on(params: Tracker.Params) -> None:
    """Another process goes on where one ended, also from an earlier step than that reached."""
    with _folder() as folder:
        for first in (0, 2, 1):
            _track(params, folder, first)


def leaves_randomness_alone(params: Tracker.Params) -> None:
    """No random number of the training is drawn, so that a run does not depend on who watches it."""
    before = _random_numbers()
    with _folder() as folder:
        _track(params, folder, 0)
    expect(_random_numbers() == before, "the random state of torch, numpy or Python is another one than before")


def _random_numbers() -> tuple[float, float, float]:
    """What torch, numpy and Python would draw next; their states stay as they are."""
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()
    drawn = float(torch.rand(())), float(np.random.random()), random.random()
    torch.set_rng_state(states[0])
    np.random.set_state(states[1])
    random.setstate(states[2])
    return drawn


CHECKS: tuple[Check, ...] = (takes_what_a_training_tells, goes_on, leaves_randomness_alone)
