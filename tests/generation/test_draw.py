"""Drawing: every image from its own seed and condition, and no evaluation for nothing."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pixelflow.core import plugins
from pixelflow.core.registry import registry
from pixelflow.core.sampling import SeededNoise
from pixelflow.generation.draw import Request, draw, draw_request
from pixelflow.generation.prompts import Prompt
from pixelflow.generation.weaker import Weaker
from pixelflow.system.errors import OutOfMemoryError, UsageError
from tests.conftest import lively_model, make_spec

plugins.load()
FIXED_STEP = [name for name, entry in registry.of_kind("sampler").items() if not entry.cls.is_adaptive]
GUIDANCES = list(registry.of_kind("guidance"))
SEEDS, LABELS = [4, 0, 11, 2, 7], [1, 5, 1, 9, 3]


def drawn_in_batches(spec, size: int, *overrides: str) -> Tensor:
    sampling = make_spec(f"sampling.batch_size={size}", *overrides).sampling
    model, weak = lively_model(spec), lively_model(spec, seed=1)
    batches = list(draw(model, spec, {"label": LABELS}, SEEDS, sampling=sampling, weak=Weaker(weak)))
    assert [len(drawn.images) for drawn in batches] == [size] * (5 // size) + [5 % size] * (5 % size > 0)
    return torch.cat([drawn.images for drawn in batches])


@pytest.mark.parametrize("sampler", FIXED_STEP)
def test_an_image_does_not_depend_on_its_batch(sampler: str):
    options = ("backbone.until=true", "objective=shortcut", f"sampling.sampler={sampler}")
    spec = make_spec(*options)
    alone = drawn_in_batches(spec, 1, *options)
    for size in (2, 5):
        together = drawn_in_batches(spec, size, *options)
        torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("guidance", GUIDANCES)
def test_nor_does_guidance_mix_images(tiny_spec, guidance: str):
    change = f"sampling.guidance.type={guidance}"
    alone = drawn_in_batches(tiny_spec, 1, change)
    torch.testing.assert_close(drawn_in_batches(tiny_spec, 5, change), alone, atol=1e-4, rtol=1e-4)


def test_nor_do_captions_of_other_lengths():
    """Contexts of a batch are padded to the longest, which must not show."""
    spec = make_spec("conditioners=[{type: bytes, dim: 16}]")
    model, captions = lively_model(spec), ["a", "a rather long caption", ""]
    together = next(draw(model, spec, {"caption": captions}, [0, 1, 2])).images
    alone = [next(draw(model, spec, {"caption": [text]}, [seed])).images for seed, text in enumerate(captions)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-4, rtol=1e-4)


def test_seed_and_label_both_matter(tiny_spec):
    model = lively_model(tiny_spec)
    first, other_seed, other_label = next(draw(model, tiny_spec, {"label": [1, 1, 2]}, [0, 1, 0])).images
    assert not torch.allclose(first, other_seed, atol=0.1)
    assert not torch.allclose(first, other_label, atol=1e-3)


@pytest.mark.parametrize(
    ("guidance", "by_stage"),
    [
        ("{type: none}", [2, 5]),
        ("{type: constant, scale: 1.0}", [2, 5]),
        ("{type: constant, scale: 0.0}", [2, 5]),
        ("{type: constant, scale: 2.0}", [4, 10]),
        ("{type: stagewise, scale: 2.0}", [2, 10]),
    ],
)
def test_guidance_pays_only_for_what_it_uses(tiny_spec, guidance: str, by_stage: list[float]):
    sampling = make_spec("sampling.steps=[2,5]", f"sampling.guidance={guidance}").sampling
    model = lively_model(tiny_spec)
    calls = []
    model.backbone.register_forward_hook(lambda module, inputs, output: calls.append(len(inputs[0].images[0])))
    for drawn in draw(model, tiny_spec, {"label": LABELS}, SEEDS, sampling=sampling):
        assert drawn.nfe == by_stage
    assert sum(calls) == len(SEEDS) * sum(by_stage)


def test_the_null_condition_is_encoded_once_a_batch(tiny_spec):
    model = lively_model(tiny_spec)
    encoded = []
    model.conditioners[0].register_forward_hook(lambda module, inputs, output: encoded.append(len(inputs[0])))
    next(draw(model, tiny_spec, {"label": LABELS}, SEEDS))
    assert sorted(encoded) == [1, 5]


@pytest.mark.parametrize("overrides", [("image.size=[24,16]",), ("image.channels=3",), ("cascade.stages=1",)])
def test_shapes(overrides: tuple[str, ...]):
    spec = make_spec(*overrides)
    drawn = next(draw(lively_model(spec), spec, {"label": [1, 2]}, [0, 1], keep_stages=True))
    height, width = spec.image.size
    assert drawn.images.shape == (2, spec.image.channels, height, width)
    assert [tuple(state.shape[-2:]) for state in drawn.stages] == [
        (height >> index, width >> index) for index in reversed(range(spec.stages))
    ]
    assert torch.equal(drawn.stages[-1], drawn.images)


def test_stages_are_kept_only_when_asked(tiny_spec):
    assert next(draw(lively_model(tiny_spec), tiny_spec, {"label": [1]}, [0])).stages == []


def test_kept_stages_have_the_brightness_of_the_images():
    """Haar doubles a constant at every halving; a picture of it must not."""
    spec = make_spec("cascade.down=haar", "cascade.up=haar")
    model = lively_model(spec)
    states = []
    drawn = next(draw(model, spec, {"label": [1]}, [0], keep_stages=True))
    from pixelflow.core.assembly import build_plan
    from pixelflow.core.sampling import SeededNoise, generate

    condition, null = model.condition(model.prepare({"label": [1]})), model.condition(model.null(1))
    noise = SeededNoise([0], model.device)
    plan = build_plan(spec.sampling, 2)
    generate(model, plan, condition, null, noise, (1, 16, 16), on_stage=lambda stage, x, clean: states.append(x))
    torch.testing.assert_close(drawn.stages[0], states[0] / model.cascade.down.brightness)
    assert model.cascade.down.brightness != 1


def test_the_clean_images_that_stages_head_for(tiny_spec):
    """Euler's last step goes to the clean image of the finest stage; at coarser ones noise is left in the state."""
    drawn = next(draw(lively_model(tiny_spec), tiny_spec, {"label": [1, 2]}, [0, 1], keep_stages=True))
    assert [tuple(clean.shape) for clean in drawn.clean] == [(2, 1, 8, 8), (2, 1, 16, 16)]
    torch.testing.assert_close(drawn.clean[-1], drawn.images)
    assert (drawn.clean[0] - drawn.stages[0]).abs().mean() > 0.01


def test_bfloat16_is_near_float32_and_differs(tiny_spec):
    exact = drawn_in_batches(tiny_spec, 5)
    rough = drawn_in_batches(tiny_spec, 5, "sampling.precision=bfloat16")
    assert rough.dtype == torch.float32
    assert 1e-5 < (rough - exact).abs().max() < 0.3


def test_the_model_is_left_as_it_was(tiny_spec):
    model = lively_model(tiny_spec).train()
    model.conditioners[0].eval()
    next(draw(model, tiny_spec, {"label": [1]}, [0]))
    assert model.training
    assert model.backbone.training
    assert not model.conditioners[0].training


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"label": [1]}, "2 images need 2 labels, not 1"),
        ({"label": [1, 11]}, "label 11 is outside 0..9"),
        ({"label": [1, 0.5]}, "whole numbers"),
    ],
)
def test_values_that_do_not_fit_are_named(tiny_spec, values, message: str):
    with pytest.raises(UsageError, match=message):
        list(draw(lively_model(tiny_spec), tiny_spec, values, [0, 1]))


def test_a_weak_model_of_another_cascade_is_refused(tiny_spec):
    weak = lively_model(make_spec("cascade.stages=1"))
    with pytest.raises(UsageError, match="another cascade"):
        list(draw(lively_model(tiny_spec), tiny_spec, {"label": [1]}, [0], weak=Weaker(weak)))


def test_no_seeds_no_images(tiny_spec):
    assert list(draw(lively_model(tiny_spec), tiny_spec, {"label": []}, [])) == []


def test_a_batch_that_does_not_fit_is_no_bug(tiny_spec):
    model = lively_model(tiny_spec)
    side, prompt = 1 << 25, Prompt(1, {"label": [0]})
    huge = Request(prompt, (1, side, side), tiny_spec.patches, lambda rows: SeededNoise([0], model.device), Prompt(1))
    with pytest.raises(OutOfMemoryError, match=r"out of memory drawing in batches of 1; lower the .* batch_size"):
        list(draw_request(model, huge, tiny_spec.sampling))
