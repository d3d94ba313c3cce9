"""Text conditioners together with a backbone: cross-attention, combinations, training."""

from __future__ import annotations

import pytest
import torch

from pixelflow.core import reading
from pixelflow.core.assembly import build_model, resolve
from pixelflow.core.condition import Condition
from pixelflow.core.spec import ExperimentSpec
from pixelflow.data.digits import Digits
from pixelflow.data.shapes.dataset import Shapes
from pixelflow.runs.ema import Ema
from pixelflow.system.errors import DataError, SpecError
from tests.conftest import lively_model, make_spec

BYTES = "{type: bytes, dim: 24, depth: 1, heads: 2, max_bytes: 48}"


def make(conditioners: str) -> ExperimentSpec:
    return make_spec(f"conditioners={conditioners}")


def inputs(model, captions):
    """Two groups of unequal resolution, three images."""
    stages = model.cascade.stages
    generator = torch.Generator().manual_seed(1)
    images = [torch.randn(2, 1, 16, 16, generator=generator), torch.randn(1, 1, 8, 8, generator=generator)]
    condition = model.condition(model.prepare({"caption": captions, "label": [1, 2, 3]}))
    return images, [stages[1], stages[0]], [torch.tensor([0.1, 0.7]), torch.tensor([0.4])], condition


@torch.no_grad()
def test_cross_attention_packed_equals_unpacked():
    model = lively_model(make(f"[{BYTES}]")).eval()
    images, stages, tau, condition = inputs(model, ["a red circle", "", "three blue squares on grey"])
    packed = model(images, stages, tau, condition)
    for image, group, row in ((0, 0, 0), (1, 0, 1), (2, 1, 0)):
        alone = model(
            [images[group][row : row + 1]],
            [stages[group]],
            [tau[group][row : row + 1]],
            condition.at(slice(image, image + 1)),
        )
        torch.testing.assert_close(packed[group][row : row + 1], alone[0], rtol=0, atol=1e-5)


@torch.no_grad()
def test_masked_padding_equals_no_padding():
    model = lively_model(make(f"[{BYTES}]")).eval()
    images, stages, tau, condition = inputs(model, ["a red circle"] * 3)
    junk = torch.randn(3, 5, 24) * 100
    padded = Condition(
        condition.vector,
        torch.cat([condition.tokens, junk], dim=1),
        torch.cat([condition.mask, torch.zeros(3, 5, dtype=torch.bool)], dim=1),
    )
    for got, wanted in zip(model(images, stages, tau, padded), model(images, stages, tau, condition), strict=True):
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-5)


@torch.no_grad()
def test_new_cross_attention_starts_as_the_identity():
    text = build_model(make(f"[{BYTES}]"))
    plain = build_model(make("[]"))
    shared = {name: torch.randn_like(weight) * 0.1 for name, weight in plain.state_dict().items()}
    plain.load_state_dict(shared)
    missing = text.load_state_dict(shared, strict=False).missing_keys
    assert missing
    assert all("cross" in name or name.startswith("conditioners") for name in missing)
    images, stages, tau, condition = inputs(text.eval(), ["a red circle", "", "dogs"])
    for got, wanted in zip(
        text(images, stages, tau, condition), plain.eval()(images, stages, tau, Condition()), strict=True
    ):
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-6)


@torch.no_grad()
def test_labels_and_two_texts_are_combined(t5_folder):
    spec = make(f"[{{type: class_label, classes: 10}}, {BYTES}, {{type: t5, model: '{t5_folder}', project: 24}}]")
    labelled = Shapes.Params().build(height=16, width=16, channels=1)
    labelled.classes = tuple("0123456789")
    model = lively_model(resolve(spec, labelled)).eval()
    images, stages, tau, condition = inputs(model, ["a red house"] * 3)
    assert condition.vector.shape == (3, 32)
    assert condition.tokens.shape[-1] == 24
    full = model(images, stages, tau, condition)
    for part in (
        Condition(None, condition.tokens, condition.mask),
        Condition(condition.vector, condition.tokens[:, :12], condition.mask[:, :12]),
        Condition(condition.vector, condition.tokens[:, 12:], condition.mask[:, 12:]),
    ):
        assert not torch.allclose(model(images, stages, tau, part)[0], full[0], atol=1e-5)


@torch.no_grad()
def test_padding_between_two_joined_texts_changes_nothing(t5_folder):
    """In a batch the shorter caption's context has holes, behind each encoder's part; alone it has none."""
    spec = make(f"[{BYTES}, {{type: t5, model: '{t5_folder}', project: 24, max_tokens: 40}}]")
    model = lively_model(resolve(spec, Shapes.Params().build(height=16, width=16, channels=1))).eval()
    captions = ["dogs", "a photo of two dogs in the snow", ""]
    images, stages, tau, condition = inputs(model, captions)
    together = model(images, stages, tau, condition)
    for image, group, row in ((0, 0, 0), (2, 1, 0)):
        own = model.condition(model.prepare({"caption": [captions[image]]}))
        assert own.mask.all()
        assert not condition.mask[image].all()
        (alone,) = model([images[group][row : row + 1]], [stages[group]], [tau[group][row : row + 1]], own)
        torch.testing.assert_close(together[group][row : row + 1], alone, rtol=0, atol=1e-5)


def test_texts_of_unequal_width_are_refused(t5_folder):
    with pytest.raises(SpecError, match="differ in width"):
        build_model(make(f"[{BYTES}, {{type: t5, model: '{t5_folder}', dim: 32}}]"))


def test_dropped_captions_become_the_empty_caption():
    model = build_model(make(f"[{BYTES}]"))
    (rows,) = model.prepare({"caption": ["a red circle", "a dog"]}, torch.tensor([True, False]))
    assert torch.equal(rows, model.conditioners[0].prepare(["", "a dog"]))


def test_a_frozen_encoder_is_outside_of_optimizer_average_and_checkpoint(t5_folder):
    spec = make(f"[{{type: t5, model: '{t5_folder}', dim: 32}}]")
    model = build_model(spec)
    model.condition(model.prepare({"caption": ["a red house"]}))
    names = [*model.state_dict(), *dict(model.named_parameters()), *Ema(model, 0.9).model.state_dict()]
    assert not [name for name in names if name.startswith("conditioners")]


def test_identity_and_hash_are_in_the_runs_spec(t5_folder):
    spec = make(f"[{{type: t5, model: '{t5_folder}'}}]")
    resolved = resolve(spec, Shapes.Params().build(height=16, width=16, channels=1))
    written = reading.dump(resolved)
    assert f"model: {t5_folder}" in written
    assert f"sha256: {resolved.conditioners[0].sha256}" in written


def test_data_without_captions_are_refused_before_anything_is_written():
    with pytest.raises(DataError, match="conditioner bytes: the data set digits has no captions"):
        resolve(make(f"[{BYTES}]"), Digits.Params().build(height=16, width=16, channels=1))
