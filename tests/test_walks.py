"""The ways through the code do not grow unnoticed; `benchmarks/walks.py` lists what they pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import walks

MOST = {"step": 49, "sample": 295}
"""Functions. A reader who hops through more than he can hold is lost: lower these where you can."""


@pytest.mark.slow  # a training and two drawings by the real commands
def test_the_ways_of_an_image_and_of_noise_are_no_longer_than_they_were(tmp_path: Path):
    found = walks.walks(tmp_path)
    passed = {name: len(walk.passed) for name, walk in found.items()}
    names = {name: {code.co_qualname for code in walk.passed} for name, walk in found.items()}
    assert {"Trainer.step", "FlowMatching.forward", "Transformer.forward"} <= names["step"]
    assert {"sample", "generate", "Gallery.add", "FlowModel.evaluate"} <= names["sample"]
    assert all(passed[name] <= most for name, most in MOST.items()), passed
