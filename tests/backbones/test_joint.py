"""Text and images in one packed sequence: the attention, its layouts, and networks that are trained on both."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from pixelflow.core.attention import grouped_attention, joint_attention
from pixelflow.core.packing import Joint, Layout, layout_of, packed
from pixelflow.system.errors import UsageError
from tests.conftest import lively_model, make_spec

CPU = torch.device("cpu")
SHAPES = [(2, 1, 8, 4), (3, 1, 4, 4)]
"""Images (b c h w) of 8 and of 4 tokens."""
WORDS = [3, 0, 5, 1, 2]
"""Tokens of each image's text."""


def attended(q, k, v):
    """(n heads d) -> (n heads d), by torch alone."""
    q, k, v = (part.transpose(0, 1) for part in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v).transpose(0, 1)


def test_joint_attention_is_that_of_each_image_with_its_own_words():
    torch.manual_seed(0)
    images = layout_of(tuple(SHAPES), (2, 2), torch.device("cpu"))
    words = Layout.of(WORDS, CPU, [2, 3])
    text, pixels = (
        tuple(torch.randn(layout.tokens, 2, 4, dtype=torch.float64, requires_grad=True) for _ in range(3))
        for layout in (words, images)
    )
    of_text, of_pixels = joint_attention(text, pixels, Joint.of(words, images))
    text_parts, pixel_parts = ([part.split(layout.lengths) for part in parts]
                               for parts, layout in ((text, words), (pixels, images)))  # fmt: skip
    for index, (found_text, found_pixels) in enumerate(
        zip(of_text.split(words.lengths), of_pixels.split(images.lengths), strict=True)
    ):
        joined = [torch.cat([t[index], p[index]]) for t, p in zip(text_parts, pixel_parts, strict=True)]
        torch.testing.assert_close(torch.cat([found_text, found_pixels]), attended(*joined))
    gradients = torch.autograd.grad(of_pixels.square().sum(), [*text, *pixels])
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert gradients[1].abs().sum() > 0, "the pixels heed the words"


@pytest.mark.parametrize("lengths", [[4, 4, 4], [1, 5, 2], [2, 2, 7, 7, 1]])
@pytest.mark.parametrize("is_one_span", [True, False])
def test_sequences_of_any_lengths_attend_within_themselves(lengths, is_one_span):
    torch.manual_seed(0)
    layout = Layout.of(lengths, CPU, [len(lengths)] if is_one_span else None)
    q, k, v = torch.randn(3, layout.tokens, 2, 4)
    wanted = [attended(*parts) for parts in zip(*(part.split(lengths) for part in (q, k, v)), strict=True)]
    torch.testing.assert_close(grouped_attention(q, k, v, layout), torch.cat(wanted))


def test_packing_takes_any_mask_and_a_layout_is_made_once():
    mask = torch.tensor([[True, False, True], [False] * 3, [True] * 3])
    tokens = torch.arange(9.0).view(3, 3, 1)
    found, layout = packed(tokens, mask, [1, 2])
    assert found.flatten().tolist() == [0, 2, 6, 7, 8]
    assert layout.lengths == (2, 0, 3)
    assert layout.image_of_token.tolist() == [0, 0, 2, 2, 2]
    assert packed(tokens, mask, [1, 2])[1] is layout


NETWORKS = {
    "mmdit": "backbone={type: mmdit, depth: 2, heads: 2, head_dim: 16}",
    "jit": "backbone={type: jit, depth: 3, heads: 2, head_dim: 16, bottleneck: 8, class_tokens: 4}",
}
CAPTIONED = (
    "image={size: 16, channels: 3, max_aspect: 2}", "data={type: shapes, count: 40}", "cascade={stages: 2, patch: 2}",
    "conditioners=[{type: bytes, dim: 16, depth: 1, heads: 2, max_bytes: 64}]", "training.steps=2",
    "training.learning_rate=1e-2", "sampling.steps=1",
)  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_trains_on_packed_text_and_images_of_several_shapes(name, trained):
    """Two steps and a picture; the captions differ in length, the images in shape."""
    import pixelflow

    run = trained(name, *CAPTIONED, NETWORKS[name])
    opened = pixelflow.load(run.path, weights="raw", device="cpu")
    prompts = ["a red circle", "two blue squares above a green triangle"]
    images = opened.sample(prompts=prompts, seed=1)
    assert images.isfinite().all()
    torch.testing.assert_close(images[1:], opened.sample(prompts=prompts[1:], seed=2), rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_makes_use_of_its_text_once_awake(name):
    model = lively_model(make_spec(*CAPTIONED, NETWORKS[name])).eval()
    x, stage, tau = torch.randn(1, 3, 16, 16), model.cascade.stages[1], torch.tensor([0.5])
    with torch.no_grad():
        one, other = (
            model([x], [stage], [tau], model.prepare({"caption": [text]}))[0] for text in ("a red circle", "blue")
        )
    assert not torch.allclose(one, other, atol=1e-4)


def test_what_a_network_cannot_do_is_refused_with_its_name():
    model = lively_model(make_spec())
    x, stage, tau = torch.randn(1, 1, 16, 16), model.cascade.stages[1], torch.tensor([0.5])
    prepared = model.prepare({"label": [1]})
    with pytest.raises(UsageError, match="backbone dit takes no second time"):
        model([x], [stage], [tau], prepared, until=[tau + 0.1])
    with pytest.raises(UsageError, match="backbone dit has taps 0 to 1, and tap 2 is asked"):
        model.evaluate([x], [stage], [tau], prepared, taps=[2])


def test_a_second_time_is_heeded_where_it_is_taken():
    model = lively_model(make_spec("backbone.until=true"))
    x, stage, tau = torch.randn(1, 1, 16, 16), model.cascade.stages[1], torch.tensor([0.5])
    prepared = model.prepare({"label": [1]})
    now, same, later = (model([x], [stage], [tau], prepared, until=until)[0] for until in (None, [tau], [tau + 0.4]))
    assert torch.equal(now, same)
    assert not torch.allclose(now, later, atol=1e-5)
