"""Compiled blocks: few graphs whatever the batches, the same results, kept on disk, and said where it is not done."""

from __future__ import annotations

import itertools
import logging
import os
from pathlib import Path

import pytest
import torch

from pixelflow.backbones import transformer
from pixelflow.core import compiling, packing
from pixelflow.core.compiling import compile_parts, graphs, pays
from pixelflow.generation.draw import draw
from pixelflow.generation.ready import Flop, ready
from tests.conftest import lively_model, make_spec

CPU = torch.device("cpu")
TEXT = "conditioners=[{type: bytes, dim: 16, depth: 1, heads: 2}]"
MOST_GRAPHS = 13
"""Of blocks that met any number of mixes of shapes: those of one mix of its own, and what lies around attention."""


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    torch.compiler.reset()
    torch._dynamo.utils.counters.clear()
    monkeypatch.setattr(compiling, "_EAGER", {"cpu": 1e9, "cuda": 1e9})


def mixed_batches(spec, model):
    """Groups of several stages and shapes, uneven from batch to batch."""
    generator = torch.Generator().manual_seed(0)
    for batch in range(6):
        groups = []
        for stage in reversed(model.cascade.stages):
            for height, width in spec.sizes:
                count = int(torch.randint(0, 4, (), generator=generator))
                if count:
                    shape = (count, 1, *model.cascade.size(stage, height, width))
                    groups.append((torch.randn(shape, generator=generator), stage))
        if groups:
            yield batch, groups


def asked(model, groups):
    images, stages = zip(*groups, strict=True)
    count = sum(map(len, images))
    values = model.prepare({"label": [index % 10 for index in range(count)]})
    return model(images, stages, [torch.full((len(own),), 0.5) for own in images], values)


@pytest.mark.parametrize("backbone", ["dit", pytest.param("jit", marks=pytest.mark.slow)])
def test_uneven_stages_and_mixed_shapes_make_few_graphs(backbone, monkeypatch):
    """A graph for each of the first mixes of shapes, and a few that all others share."""
    monkeypatch.setattr(packing, "MOST_MIXES", 1)
    monkeypatch.setattr(packing, "_MIXES", itertools.count())
    for made in (packing.layout_of, packing._layout_of_lengths, packing._joint):
        made.cache_clear()
    spec = make_spec(
        "data={type: image_folder, root: .}", "image={size: 16, channels: 1, max_aspect: 2}",
        f"backbone={{type: {backbone}, depth: 2, heads: 1, head_dim: 8}}",
    )  # fmt: skip
    model = lively_model(spec).train()
    assert len(spec.sizes) >= 3
    found = []
    compile_parts(model.backbone)
    for part in model.backbone.compiled_parts:
        part.compile(backend="eager")  # the graphs are the same, and need no C++
    for _, groups in mixed_batches(spec, model):
        compiled = asked(model, groups)
        for part in model.backbone.compiled_parts:
            part._compiled_call_impl, kept = None, part._compiled_call_impl
            found.append((part, kept))
        for own, wanted in zip(compiled, asked(model, groups), strict=True):
            torch.testing.assert_close(own, wanted, rtol=1e-4, atol=1e-5)
        while found:
            part, kept = found.pop()
            part._compiled_call_impl = kept
    assert 0 < graphs() <= MOST_GRAPHS * (2 if backbone == "jit" else 1)


def test_the_first_kinds_of_batches_have_graphs_for_their_very_sizes(monkeypatch):
    """As on GPUs: no size of theirs is left open, later kinds share graphs, and the results are the eager ones."""
    monkeypatch.setattr(compiling, "_FIXED", {"cpu"})
    monkeypatch.setattr(compiling, "_BACKEND", "eager")
    monkeypatch.setattr(packing, "MOST_PLAIN", 3)
    monkeypatch.setattr(packing, "_PLAIN", itertools.count())
    packing.layout_of.cache_clear()
    model = lively_model(make_spec("backbone.depth=1"))
    stage, made = model.cascade.stages[1], []
    eager = {count: asked(model, [(torch.ones(count, 1, 16, 16), stage)]) for count in range(2, 8)}
    compile_parts(model.backbone)
    for count, wanted in eager.items():
        torch.testing.assert_close(asked(model, [(torch.ones(count, 1, 16, 16), stage)]), wanted)
        made.append(graphs())
    alone = made[0]
    assert made[:3] == [alone, 2 * alone, 3 * alone]
    assert made[3] - made[2] >= 1, "the first that has none of its own"
    assert made[-1] == made[-2], "sizes are left open where there are too many"


def test_batches_with_text_share_graphs_whatever_its_length(monkeypatch):
    monkeypatch.setattr(compiling, "_FIXED", {"cpu"})
    monkeypatch.setattr(compiling, "_BACKEND", "eager")
    model = lively_model(make_spec(TEXT, "backbone.depth=1"))
    compile_parts(model.backbone)
    made = []
    for length in range(2, 9):
        values = model.prepare({"caption": ["a" * length, "b"]})
        model([torch.ones(2, 1, 16, 16)], [model.cascade.stages[1]], [torch.full((2,), 0.5)], values)
        made.append(graphs())
    assert made[-1] == made[2], "three lengths are enough to know that they differ"


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(("cascade.stages=1", "sampling.guidance=none"), id="one kind of batches"),
        pytest.param((), id="several", marks=pytest.mark.slow),
    ],
)
def test_a_drawing_is_the_same_compiled_and_its_copy_is_compiled_once(tmp_path, monkeypatch, options):
    """What each kind of batches costs is C++; `test_uneven_stages_and_mixed_shapes_make_few_graphs` does without."""
    spec = make_spec("backbone.depth=1", "sampling.steps=2", *options)
    before = os.environ.pop("TORCHINDUCTOR_CACHE_DIR", None)
    monkeypatch.setenv("PIXELFLOW_CACHE", str(tmp_path))
    monkeypatch.setattr("torch._inductor.config.cpp.vec_isa_ok", False)  # plain C++ takes less than half to compile
    model = lively_model(spec)
    try:
        plain, compiled, again = (
            next(iter(draw(model, spec, {"label": [1, 2]}, [0, 1], sampling=own))).images
            for own in (spec.sampling, *[spec.sampling.model_copy(update={"compile": True})] * 2)
        )
    finally:
        os.environ.pop("TORCHINDUCTOR_CACHE_DIR", None)
        if before is not None:
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = before
    torch.testing.assert_close(compiled, plain, rtol=1e-4, atol=1e-5)
    assert torch.equal(again, compiled)
    assert graphs() <= MOST_GRAPHS
    assert any(Path(tmp_path, "compiled").rglob("*.so")), "what was compiled is kept for the next run"
    assert all(module._compiled_call_impl is None for module in model.modules()), "the run's own model is left alone"


def test_auto_compiles_where_the_work_is_long():
    least = compiling._LEAST_SECONDS["cpu"] * 1e9 * torch.get_num_threads()
    assert pays("auto", least, CPU)
    assert not pays("auto", least / 2, CPU)
    assert pays(True, 0.0, CPU)
    assert not pays(False, 1e30, CPU)


def test_what_cannot_be_compiled_is_named(caplog, monkeypatch):
    monkeypatch.setattr(compiling, "lacking", lambda device: "torch.compile needs a C++ compiler, such as g++")
    with caplog.at_level(logging.WARNING):
        assert not pays(True, 0.0, CPU)
    assert "blocks are not compiled: torch.compile needs a C++ compiler, such as g++" in caplog.text


def test_a_missing_compiler_is_found():
    from torch._inductor import config

    compiling.lacking.cache_clear()
    try:
        with config.patch({"cpp.cxx": ("no-such-compiler",)}):
            assert "C++ compiler" in str(compiling.lacking(CPU))
    finally:
        compiling.lacking.cache_clear()


def test_blocks_that_meet_too_many_kinds_of_batches_say_so(caplog, monkeypatch):
    monkeypatch.setattr(compiling, "_LAYOUTS", 1)
    model = lively_model(make_spec("backbone.depth=1"))
    compile_parts(model.backbone)
    for part in model.backbone.compiled_parts:
        part.compile(backend="eager")
    stage = model.cascade.stages[1]
    with caplog.at_level(logging.WARNING), torch._dynamo.config.patch(recompile_limit=1):
        for dtype in (torch.float32, torch.float64):
            model.to(dtype)
            asked(model, [(torch.randn(2, 1, 16, 16, dtype=dtype), stage)])
    assert "compiled blocks have met 1 kinds of batches; further kinds run without being compiled" in caplog.text


def test_16_bits_are_cast_once_and_the_images_are_those_of_autocast_up_to_rounding():
    spec = make_spec("sampling.precision=bfloat16")
    model = lively_model(spec)
    copy = ready(model, spec.sampling, Flop())
    assert {one.dtype for one in copy.backbone.parameters()} == {torch.bfloat16}
    assert {one.dtype for one in model.parameters()} == {torch.float32}
    exact, half = (
        next(iter(draw(model, spec, {"label": [1, 2]}, [0, 1], sampling=own))).images
        for own in (spec.sampling.model_copy(update={"precision": "float32"}), spec.sampling)
    )
    assert 0 < float((half - exact).norm() / exact.norm()) < 0.02


def test_without_need_the_model_is_drawn_from_as_it_is(tiny_spec):
    model = lively_model(tiny_spec)
    assert ready(model, tiny_spec.sampling, Flop()) is model


def test_text_is_projected_once_a_batch_and_the_images_are_the_same_to_the_bit(monkeypatch):
    spec = make_spec(TEXT, "sampling.steps=3")
    model, asked = lively_model(spec), []
    block = model.backbone.blocks[0].cross_attention
    block.kv.register_forward_hook(lambda *given: asked.append(1))

    def drawn():
        asked.clear()
        (found,) = draw(model, spec, {"caption": ["a cat", "two dogs"]}, [0, 1])
        return found.images, len(asked)

    once, counted = drawn()
    assert counted == 1, "guided at every stage: the pair alone is asked"
    monkeypatch.setattr(transformer, "_MOST_SHARED", 0)
    each, counted = drawn()
    assert counted == 6
    assert torch.equal(once, each)
