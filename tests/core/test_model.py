"""The model on packed batches."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pixelflow.backbones.dit import DiT
from pixelflow.backbones.hourglass import Hourglass
from pixelflow.backbones.transformer import Transformer
from pixelflow.conditioners.byte_text import ByteText
from pixelflow.conditioners.class_label import ClassLabel
from pixelflow.core.cascade import Cascade
from pixelflow.core.condition import Condition
from pixelflow.core.model import FlowModel
from pixelflow.objectives.velocity import VelocityPrediction
from pixelflow.operators.bilinear import BilinearDown
from pixelflow.operators.nearest import NearestUp
from pixelflow.system.errors import SpecError, UsageError

TEXT = 10


BACKBONES: list[Transformer.Params] = [
    DiT.Params(depth=2, heads=2, head_dim=8),
    Hourglass.Params(depth=2, heads=2, head_dim=8, level_channels=(8,), blocks=1),
]


def lively(context_dim: int | None = None, params: Transformer.Params = BACKBONES[0]) -> FlowModel:
    """A model of three stages in which every weight matters."""
    torch.manual_seed(0)
    backbone: Transformer = params.build(channels=3, patches=(2, 2, 4), context_dim=context_dim)
    conditioners = [] if context_dim else [ClassLabel(ClassLabel.Params(classes=5), width=backbone.width)]
    cascade = Cascade(3, BilinearDown(BilinearDown.Params()), NearestUp(NearestUp.Params()))
    model = FlowModel(cascade, backbone, conditioners, VelocityPrediction(VelocityPrediction.Params()))
    for parameter in model.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return model


def test_vectors_of_several_conditioners_add_up_and_contexts_lie_behind_each_other() -> None:
    labels = [ClassLabel(ClassLabel.Params(classes=5), width=16) for _ in range(2)]
    words = ByteText(ByteText.Params(dim=TEXT, heads=2), width=16)
    plain = lively(TEXT)
    model = FlowModel(plain.cascade, plain.backbone, [*labels, words], plain.prediction)
    given = Condition(tokens=torch.randn(2, 3, TEXT), mask=torch.ones(2, 3, dtype=torch.bool))
    classes, captions = torch.tensor([1, 4]), words.prepare(["a cat", "two dogs"])
    found = model.condition([classes, classes, captions], given)
    assert torch.equal(found.vector, labels[0].table(classes) + labels[1].table(classes))
    own = words(captions)
    assert torch.equal(found.tokens, torch.cat([own.tokens, given.tokens], dim=1))
    assert torch.equal(found.mask, torch.cat([own.mask, given.mask], dim=1))
    assert torch.equal(model.condition([None, classes, None], given).tokens, given.tokens)
    assert model.condition([None] * 3) == Condition()


@pytest.mark.parametrize("is_training", [False, True], ids=["evaluation", "training"])
@pytest.mark.parametrize("context_dim", [None, TEXT], ids=["class", "text"])
@pytest.mark.parametrize("params", BACKBONES, ids=lambda params: params.type)
def test_packed_equals_unpacked(params: Transformer.Params, context_dim: int | None, is_training: bool) -> None:
    model = lively(context_dim, params).train(is_training)
    sizes, counts = [(4, 8), (8, 16), (16, 32)], [3, 2, 1]
    images = [torch.randn(count, 3, *size) for count, size in zip(counts, sizes, strict=True)]
    tau = [torch.rand(count) for count in counts]
    if context_dim is None:
        condition = model.condition([torch.arange(6)])
    else:
        mask = torch.arange(7) < torch.tensor([7, 1, 3, 2, 5, 4])[:, None]
        condition = Condition(tokens=torch.randn(6, 7, context_dim), mask=mask)
    packed = model(images, model.cascade.stages, tau, condition)
    done = 0
    for group, (stage, velocities) in enumerate(zip(model.cascade.stages, packed, strict=True)):
        for index, velocity in enumerate(velocities):
            one = slice(index, index + 1)
            (alone,) = model([images[group][one]], [stage], [tau[group][one]], condition.at(slice(done, done + 1)))
            torch.testing.assert_close(velocity[None], alone, rtol=0, atol=1e-5)
            done += 1


def test_dropped_conditions_become_the_null_condition() -> None:
    model = lively()
    (prepared,) = model.prepare({"label": [0, 1, 2]}, drop=torch.tensor([False, True, False]))
    assert prepared.tolist() == [0, 5, 2]
    assert torch.equal(model.null(2)[0], torch.tensor([5, 5]))


def test_a_network_that_attends_to_text_needs_some() -> None:
    model = lively(TEXT)
    with pytest.raises(UsageError, match="attends to text and got none"):
        model([torch.zeros(1, 3, 4, 4)], model.cascade.stages[:1], [torch.zeros(1)], Condition())


def test_context_widths_must_agree() -> None:
    params = DiT.Params(depth=1, heads=2, head_dim=8, text_dim=TEXT)
    assert DiT(params, channels=1, patches=[2], context_dim=None).context_dim == TEXT
    with pytest.raises(SpecError, match="text_dim is 10, but the conditioners' tokens have 12 channels"):
        DiT(params, channels=1, patches=[2], context_dim=12)
