"""Which real picture a generated one looks like, by its caption."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pixelflow.core.interfaces import ImageBatch
from pixelflow.metrics.caption_retrieval import CaptionRetrieval
from pixelflow.system.errors import DataError

CPU = torch.device("cpu")


class Sides:
    """A comparison whose features are given."""

    def __init__(self, generated, reference, asked, real):
        self.sides = np.asarray(generated, float), np.asarray(reference, float)
        self.generated, self.reference = self._batches(asked), self._batches(real)

    def _batches(self, captions):
        halves = [captions[:2], captions[2:]]
        return [ImageBatch(torch.zeros(len(own), 1, 4, 4), captions=own) for own in halves if own]

    def features(self, extractor):
        return self.sides


def measured(sides: Sides) -> dict[str, float]:
    return CaptionRetrieval(CaptionRetrieval.Params(), device=CPU).compute(sides)


def directions(*degrees: float) -> list[list[float]]:
    return [[3 * np.cos(np.radians(one)), 3 * np.sin(np.radians(one))] for one in degrees]


REAL = directions(0, 10, 90, 180, 185, 270, 280)
CAPTIONS = ["a cat", "a cat", "a dog", "a bird", "a bird", "a fish", "a boat"]


def test_the_nearest_and_the_five_nearest_by_the_cosine():
    generated = 7 * np.array(directions(2, 92, 175, 91, 200))
    asked = ["a cat", "a dog", "a bird", "a cat", "a dog"]
    found = measured(Sides(generated, REAL, asked, CAPTIONS))
    assert found["top1"] == pytest.approx(3 / 5)
    assert found["top5"] == 1, "the two at 91 and 200 degrees have theirs among the five nearest"
    assert found["chance"] == pytest.approx(np.mean([2, 1, 2, 2, 1]) / 7)
    assert measured(Sides(directions(0), REAL, ["a boat"], CAPTIONS))["top5"] == 1
    assert measured(Sides(directions(90), REAL, ["a fish"], CAPTIONS))["top5"] == 0


def test_real_pictures_find_themselves():
    found = measured(Sides(REAL, REAL, CAPTIONS, CAPTIONS))
    assert (found["top1"], found["top5"]) == (1, 1)


def test_captions_that_no_picture_has_do_not_count():
    found = measured(Sides(directions(0, 0), REAL, ["a cat", "a house"], CAPTIONS))
    assert found["top1"] == 1
    with pytest.raises(DataError, match="no real picture has a caption that was asked for"):
        measured(Sides(directions(0), REAL, ["a house"], CAPTIONS))


def test_more_images_than_are_worked_out_at_a_time():
    many = 700
    found = measured(Sides(directions(*[1] * many), REAL, ["a cat"] * many, CAPTIONS))
    assert found["top1"] == 1


@pytest.mark.parametrize("side", ["generated", "reference"])
def test_both_sides_need_captions(side):
    sides = Sides(directions(0), REAL, ["a cat"], CAPTIONS)
    setattr(sides, side, [ImageBatch(torch.zeros(1, 1, 4, 4))])
    with pytest.raises(DataError, match="have none; remove this metric"):
        measured(sides)
