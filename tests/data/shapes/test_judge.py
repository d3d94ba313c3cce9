"""The judge of shapes is exact on real renderings, and not fooled by other captions."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from pixelflow.contracts.partners import Held
from pixelflow.core.interfaces import ImageBatch
from pixelflow.data.shapes.dataset import Shapes
from pixelflow.data.shapes.judge import is_right, read, scores
from pixelflow.data.shapes.metric import ShapesJudge
from pixelflow.data.shapes.wording import understood
from pixelflow.data.shapes.world import TASKS
from pixelflow.system.errors import DataError

SIZES = [(32, 32), (64, 64), (32, 48), (96, 40)]


def drawn(split, size, count):
    """(image, caption, scene) of the first elements."""
    dataset = Shapes.Params(split=split).build(height=size[0], width=size[1], channels=3)
    for index in range(count):
        sample = dataset.sample(index, torch.Generator())
        yield sample.image, sample.caption, dataset.scene(index)


def figures(split, size, count):
    """Shares of right, exactly read and rightly judged mismatched images, and of the last how many are right."""
    elements = list(drawn(split, size, count))
    right = [is_right(image, caption) for image, caption, _ in elements]
    exact = [
        Counter((thing.colour, thing.shape) for thing in read(image))
        == Counter((thing.colour, thing.shape) for thing in scene.things)
        for image, _, scene in elements
    ]
    others = [elements[(index + 6) % count][1] for index in range(count)]  # of the same task, in the test split
    truth = [understood(caption).holds(scene.things) for caption, (_, _, scene) in zip(others, elements, strict=True)]
    judged = [is_right(image, caption) for caption, (image, _, _) in zip(others, elements, strict=True)]
    agreed = [one == other for one, other in zip(truth, judged, strict=True)]
    chance = sum(truth) / count
    return sum(right) / count, sum(exact) / count, sum(agreed) / count, sum(judged) / count, chance


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("split", ["train", "test"])
def test_the_judge_is_exact(split, size):
    right, exact, agreed, judged, chance = figures(split, size, 90)
    assert right == 1
    assert exact == 1
    assert agreed == 1
    assert judged <= chance < 0.5


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("split", ["train", "test"])
def test_the_judge_is_exact_on_many(split, size):
    right, exact, agreed, judged, chance = figures(split, size, 3000)
    print(f"{split} {size}: right {right:.4f}, read {exact:.4f}")
    print(f"mismatched: judged rightly {agreed:.4f}, passed {judged:.4f} of {chance:.4f} that are true")
    assert min(right, exact, agreed) >= 0.995
    assert judged <= chance + 0.005


def test_the_judge_forgives_a_network_its_noise():
    noisy = [
        (image + 0.1 * torch.randn(image.shape, generator=torch.Generator().manual_seed(0)), caption)
        for image, caption, _ in drawn("test", (32, 32), 120)
    ]
    assert scores(noisy)["overall"] > 0.97


def test_wrong_images_are_wrong():
    for image, caption, _ in drawn("test", (32, 32), 60):
        assert not is_right(torch.zeros_like(image), caption)
        assert not is_right(torch.rand(image.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1, caption)
        assert not is_right(-image, caption) or understood(caption).parts[0].colour is None


def test_scores_are_geneval_s():
    elements = [(image, caption) for image, caption, _ in drawn("test", (32, 32), 24)]
    blank = torch.zeros(3, 32, 32)
    half = [(blank if index % 12 < 6 else image, caption) for index, (image, caption) in enumerate(elements)]
    assert list(scores(elements)) == ["overall", *TASKS]
    assert set(scores(half).values()) == {0.5}
    assert scores(elements[2:3]) == {"overall": 1.0, "counting": 1.0}


def test_the_metric_needs_captions_of_this_world_in_colour():
    metric = ShapesJudge.Params().build(device=torch.device("cpu"))
    (image, caption, _), *_ = drawn("test", (32, 32), 1)
    assert metric.compute(Held([ImageBatch(image[None], None, [caption])], []))["overall"] == 1
    with pytest.raises(DataError, match="needs the captions"):
        metric.compute(Held([ImageBatch(image[None])], []))
    with pytest.raises(DataError, match="names none of: circle"):
        metric.compute(Held([ImageBatch(image[None], None, ["a dog"])], []))
    with pytest.raises(DataError, match=r"image\.channels"):
        metric.compute(Held([ImageBatch(image[None, :1], None, [caption])], []))
    with pytest.raises(DataError, match="no image to judge"):
        metric.compute(Held([], []))
