"""`pixelflow.train` trains as the command does, and calls back."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import pixelflow
from tests.conftest import make_spec


def test_training_calls_back_and_what_is_raised_loses_nothing(tmp_path: Path):
    spec, seen = make_spec("training.steps=4", "training.sample_every=null"), []

    def stop_at_two(step, state):
        seen.append((step, state.step))
        if step == 2:
            raise pixelflow.StoppedError("seen enough")

    with pytest.raises(pixelflow.StoppedError, match="seen enough; step 2 is saved"):
        pixelflow.train(spec, out=tmp_path, device="cpu", callbacks=[stop_at_two])
    assert seen == [(1, 1), (2, 2)]
    assert pixelflow.load(tmp_path / spec.name).step == 2
    run = pixelflow.train(spec, out=tmp_path, device="cpu", callbacks=[lambda step, state: seen.append(step)])
    assert (run.step, seen[2:]) == (4, [3, 4])
    whole = pixelflow.train(spec, out=tmp_path / "whole", device="cpu")
    for one, other in zip(run.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_specs_are_read_as_the_command_reads_them():
    spec = pixelflow.read_spec("digits", "training.steps=7", name="mine")
    assert (spec.name, spec.training.steps) == ("mine", 7)
    with pytest.raises(pixelflow.system.errors.SpecError, match="stepz"):
        pixelflow.read_spec("digits", "training.stepz=7")
