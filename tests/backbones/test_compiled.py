"""Networks of text and images, compiled and with recomputed activations: they train, measure and draw as they are."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch._dynamo.utils import counters

import pixelflow
from pixelflow.core import packing
from tests.backbones.test_joint import CAPTIONED, NETWORKS
from tests.training.conftest import lines_of

pytestmark = pytest.mark.slow  # torch compiles for minutes


def numbers(run: Any) -> list[float]:
    """Losses, norms of the gradient and losses of held-out images, in their order."""
    found = []
    for line in lines_of(run):
        told = line.get("held_out", line)
        found += [value for key, value in told.items() if key in ("loss", "averaged_loss", "gradient_norm")]
    return found


@pytest.mark.parametrize("checkpointing", ["true", "false"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_compiled_network_trains_and_draws_as_it_does_without(name, checkpointing, trained, monkeypatch):
    """Within 1e-4 of the eager losses, and 1e-3 of the eager pictures; no part of a block is left uncompiled."""
    options = (
        *CAPTIONED,
        NETWORKS[name],
        "training.held_out=0.2",
        f"training.activation_checkpointing={checkpointing}",
    )
    monkeypatch.setattr(packing, "MOST_MIXES", 1000)  # of later ones attention would stay outside of graphs
    torch.compiler.reset()
    counters.clear()
    compiled = trained("compiled", *options, "training.compile=true")
    assert counters["stats"]["unique_graphs"]
    assert not counters["graph_break"]
    plain = trained("plain", *options)
    assert len(numbers(plain)) == 6
    assert numbers(compiled) == pytest.approx(numbers(plain), rel=1e-4)
    run, prompts = pixelflow.load(plain.path, weights="raw", device="cpu"), ["a red circle", "blue"]
    eager = run.sample(prompts=prompts, seed=1)
    for part in run.model.backbone.compiled_parts:
        part.compile()
    torch.testing.assert_close(run.sample(prompts=prompts, seed=1), eager, rtol=0, atol=1e-3)
