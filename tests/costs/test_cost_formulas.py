"""What networks say that they cost, beside what torch counts when they run: random settings of every built-in one."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from pixelflow.core import plugins
from pixelflow.core.assembly import build_model
from pixelflow.core.condition import Condition
from pixelflow.core.interfaces import Query
from pixelflow.core.registry import registry
from pixelflow.core.spec import ExperimentSpec
from pixelflow.costs.planning import costs
from tests.conftest import make_spec

plugins.load()

OWN: dict[str, Callable[[random.Random, int], str]] = {
    "dit": lambda draw, depth: "",
    "mmdit": lambda draw, depth: "",
    "hourglass": lambda draw, depth: (
        f", level_channels: {draw.choice([[16], [32, 48], [8, 24]])}, blocks: {draw.randint(1, 2)}"
    ),
    "jit": lambda draw, depth: (
        f", bottleneck: {draw.choice([4, 20, 64])}, class_tokens: {draw.choice([0, 3, 16])}, "
        f"context_from: {draw.randrange(depth)}"
    ),
}
"""Settings that a backbone alone has, of a depth."""


def any_spec(name: str, draw: random.Random, has_text: bool) -> ExperimentSpec:
    depth, until = draw.randint(1, 4), draw.choice(["true", "false"])
    shape = f"heads: {draw.choice([1, 2, 3])}, head_dim: {draw.choice([8, 16, 20])}, mlp_ratio: {draw.choice([2, 4])}"
    backbone = f"backbone={{type: {name}, depth: {depth}, {shape}, until: {until}{OWN[name](draw, depth)}}}"
    text = f"conditioners=[{{type: bytes, dim: {draw.choice([16, 48])}, depth: 1, heads: 2, max_bytes: 24}}]"
    return make_spec(
        backbone, f"image={{size: {draw.choice(['16', '[24, 48]'])}, channels: {draw.choice([1, 3])}}}",
        "cascade={stages: 2, patch: [4, 8]}", *(["data=shapes", text] if has_text else ["conditioners=[]"]),
    )  # fmt: skip


def counted(spec: ExperimentSpec, stage: int) -> float:
    """Multiply-accumulates of one evaluation of one image, by torch; without what becomes of time and size."""
    backbone, image = build_model(spec).backbone, spec.image
    tokens = costs(spec).context_tokens
    dim = backbone.context_dim
    condition = Condition() if dim is None else Condition(None, torch.randn(1, tokens, dim), torch.ones(1, tokens) > 0)
    down = 2 ** (spec.stages - 1 - stage)
    x = torch.randn(1, image.channels, image.height // down, image.width // down)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        backbone.train()(Query([x], [stage], torch.full((1,), 500.0), condition))
    width = backbone.width
    embeddings = (3 if backbone.takes_until else 2) * (256 * width + width**2)
    return counter.get_total_flops() / 2 - embeddings - 2 * width**2


@pytest.mark.parametrize("has_text", [False, True])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", OWN)
def test_multiplications_and_parameters_are_those_that_are_counted(name: str, seed: int, has_text: bool):
    spec = any_spec(name, random.Random(f"{name} {seed} {has_text}"), has_text)
    found = costs(spec)
    assert found.parameters == sum(parameter.numel() for parameter in build_model(spec).parameters())
    stated = [stage.once.macs for stage in found.stages]
    assert stated == pytest.approx([counted(spec, stage) for stage in range(2)], rel=5e-3)


def test_no_backbone_is_left_out():
    assert set(OWN) == {name for name, entry in registry.of_kind("backbone").items() if entry.origin == "pixelflow"}
