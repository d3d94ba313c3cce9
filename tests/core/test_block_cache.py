"""Blocks that are left out at the last stage: how often they run, what comes of it, and for which networks."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from pixelflow.costs.planning import costs
from pixelflow.generation.draw import draw
from pixelflow.generation.ready import Flop, ready
from pixelflow.system.errors import UsageError
from tests.conftest import lively_model, make_spec

DEEP = ("backbone.depth=4", "sampling.steps=6")
CACHE = "sampling.block_cache={every: 2, share: 0.5}"


def drawn(spec, model=None):
    """Images of two batches; and how often each block ran."""
    model = model or lively_model(spec)
    ran = Counter()
    for index, block in enumerate(model.backbone.blocks):
        block.register_forward_hook(lambda *given, index=index: ran.update([index]))
    parts = list(draw(model, spec, {"label": [1, 2, 3]}, range(3)))
    return torch.cat([part.images for part in parts]), ran


def test_the_middle_blocks_run_at_every_second_evaluation_of_the_last_stage_alone():
    """Six steps at each of two stages, guided at both: a pair each."""
    _, ran = drawn(make_spec(*DEEP, CACHE, "sampling.batch_size=2"))
    whole, halved = 2 * (6 + 6), 2 * (6 + 3)
    assert [ran[index] for index in range(4)] == [whole, halved, halved, whole]


def test_each_branch_and_each_batch_begins_with_all_blocks():
    guidance = "sampling.guidance={type: reused, every: 2, guidance: {type: constant, scale: 1.5}}"
    _, ran = drawn(make_spec(*DEEP, "sampling.batch_size=3", CACHE, guidance))
    assert ran[0] == 6 + 6
    assert ran[1] == 6 + 2 + 2, "three evaluations of the pair, and three of the condition, of which two each are whole"


@pytest.mark.parametrize(
    "guidance", ["none", "{type: constant, scale: 1.5}", "{type: reused, every: 2, guidance: constant}"]
)
def test_a_plan_leaves_out_what_a_drawing_does(guidance):
    spec = make_spec(*DEEP, CACHE, f"sampling.guidance={guidance}")
    model = lively_model(spec)
    images = Counter()
    for index, block in enumerate(model.backbone.blocks):
        block.register_forward_hook(lambda _, given, x, index=index: images.update({index: given[1].shape[0]}))
    list(draw(model, spec, {"label": [1]}, [0]))
    *_, last = costs(spec).stages
    each = model.backbone.block_macs(last.height // last.patch, last.width // last.patch, 0)
    assert last.left_out == (images[0] - images[1] + images[3] - images[2]) * each > 0
    assert last.sample_macs == last.nfe * last.once.macs - last.left_out


def test_the_images_are_near_and_the_nearer_the_less_is_left_out():
    model = lively_model(make_spec(*DEEP))
    exact, _ = drawn(make_spec(*DEEP), model)
    off = []
    for cache in ("{every: 2, share: 0.5}", "{every: 6, share: 1}"):
        found, _ = drawn(make_spec(*DEEP, f"sampling.block_cache={cache}"), model)
        off.append(float((found - exact).norm() / exact.norm()))
    assert 0 < off[0] < off[1] < 0.5


def test_the_runs_own_model_is_left_alone_and_compiled_blocks_can_be_left_out():
    spec = make_spec(*DEEP, CACHE)
    model = lively_model(spec)
    before = list(model.backbone.blocks)
    copy = ready(model, spec.sampling, Flop())
    assert copy is not model
    assert list(model.backbone.blocks) == before
    assert "forward" not in vars(model.backbone)


@pytest.mark.parametrize(
    ("backbone", "wraps"),
    [
        ("{type: jit, depth: 6, context_from: 2, heads: 1, head_dim: 16}", [3, 4]),
        ("{type: hourglass, depth: 3, heads: 1, head_dim: 16, level_channels: [8], blocks: 1}", [0, 1]),
    ],
)
def test_what_is_left_out_lies_within_one_sequence(backbone, wraps):
    spec = make_spec(f"backbone={backbone}", CACHE, "sampling.steps=2", "cascade.patch=4")
    model = lively_model(spec)
    copy = ready(model, spec.sampling, Flop())
    assert [i for i, block in enumerate(copy.backbone.blocks) if type(block).__name__ == "_Middle"] == wraps
    images, _ = drawn(spec, model)
    assert images.isfinite().all()


def test_networks_without_such_blocks_are_refused():
    text = "conditioners=[{type: bytes, dim: 16, depth: 1, heads: 2}]"
    spec = make_spec("backbone={type: mmdit, depth: 2, heads: 1, head_dim: 16}", text, CACHE)
    with pytest.raises(UsageError, match=r"sampling\.block_cache: the backbone mmdit has no middle blocks"):
        draw(lively_model(spec), spec, {}, [0])
