"""Losses, weights and images of short trainings are those of the first version, as far as machines agree."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.recorded.recording import FILE, TRAININGS, of_release, of_training

KEPT: dict[str, dict[str, Any]] = json.loads(FILE.read_text())


def expect_near(found: dict[str, Any], name: str) -> None:
    for key, wanted in KEPT[name].items():
        if key == "loss_by_stage":
            for line, expected in zip(found[key], wanted, strict=True):
                assert line == pytest.approx(expected, rel=2e-3, abs=1e-6), key
        elif not key.endswith("_sha256"):
            assert found[key] == pytest.approx(wanted, rel=2e-3, abs=1e-6), key


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n != "digits" else ()) for n in TRAININGS])
def test_a_training(name, tmp_path):
    expect_near(of_training(name, tmp_path), name)


@pytest.mark.parametrize("name", ["c2i", "t2i"])
def test_the_releases_weights(name, tmp_path):
    expect_near(of_release(name, tmp_path), f"official_{name}")
