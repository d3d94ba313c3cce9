"""The world of shapes: what claims mean, what is held out, what is drawn and said."""

from __future__ import annotations

from collections import Counter
from itertools import product
from random import Random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelflow.data.shapes.dataset import Shapes
from pixelflow.data.shapes.scenes import draw_scene
from pixelflow.data.shapes.wording import understood, worded
from pixelflow.data.shapes.world import (
    COLOURS,
    COUNTS,
    GROUNDS,
    HELD_OUT,
    OPPOSITES,
    SHAPES,
    TASKS,
    TESTED_BY,
    Meaning,
    Part,
    Thing,
    facts,
    relation_of,
)

COLOURED = [Part(shape, colour) for shape, colour in product(SHAPES, (None, *COLOURS))]
parts = st.sampled_from(COLOURED)
counted = st.builds(lambda part, count: Part(part.shape, part.colour, count), parts, st.sampled_from(COUNTS))
pairs = st.tuples(parts, parts).filter(lambda pair: pair[0].shape != pair[1].shape)
meanings = st.one_of(
    st.builds(lambda part: Meaning((part,)), st.one_of(parts, counted)),
    st.builds(Meaning, pairs, st.sampled_from([None, *OPPOSITES])),
)


def opened(**changes) -> Shapes:
    return Shapes.Params(**changes).build(height=32, width=32, channels=3)


def facts_of(scene) -> set:
    things = scene.things
    two = len({thing.shape for thing in things}) == 2
    return facts(scene.ground, [(thing.colour, thing.shape) for thing in things], relation_of(*things) if two else None)


@settings(max_examples=300, deadline=None)
@given(meanings, st.integers(0, 2**32), st.sampled_from([*GROUNDS]), st.booleans())
def test_every_wording_is_understood(meaning, seed, ground, names_ground):
    caption = worded(Random(seed), meaning, "small", ground, names_ground)
    assert understood(caption) == meaning, caption
    assert not names_ground or ground in caption


@pytest.mark.parametrize(
    ("caption", "meaning"),
    [
        ("A red circle.", Meaning((Part("circle", "red"),))),
        ("please draw me 3 blue crosses", Meaning((Part("cross", "blue", 3),))),
        ("square, left of triangle", Meaning((Part("square"), Part("triangle")), "left")),
        ("a square with a triangle on its left", Meaning((Part("triangle"), Part("square")), "left")),
        ("an orange cross over a cyan diamond on a white background",
         Meaning((Part("cross", "orange"), Part("diamond", "cyan")), "above")),
        ("a dog in the snow", None),
        ("", None),
    ],
)  # fmt: skip
def test_people_are_understood(caption, meaning):
    assert understood(caption) == meaning


def test_wordings_vary():
    meaning = Meaning((Part("circle", "red"), Part("square", "blue")), "left")
    assert len({worded(Random(seed), meaning, "small", "grey", False) for seed in range(300)}) > 50


def test_claims_hold_or_not():
    red, blue, other = (
        Thing("red", "circle", 0.2, 0.5),
        Thing("blue", "square", 0.8, 0.4),
        Thing("red", "circle", 0.2, 0.1),
    )
    assert Meaning((Part("circle"),)).holds([red, blue])
    assert Meaning((Part("circle", "red"), Part("square", "blue"))).holds([red, blue])
    assert not Meaning((Part("circle", "blue"), Part("square", "red"))).holds([red, blue])
    assert Meaning((Part("circle"), Part("square")), "left").holds([red, blue])
    assert not Meaning((Part("circle"), Part("square")), "above").holds([red, blue])
    assert Meaning((Part("circle", count=2),)).holds([red, other])
    assert not Meaning((Part("circle", count=2),)).holds([red, other, other])
    assert not Meaning((Part("circle", count=3),)).holds([red, other])
    assert not Meaning((Part("cross"),)).holds([])


def test_held_out_is_about_a_fifth_and_hides_no_part():
    kinds = Counter(fact[0] for fact in HELD_OUT)
    totals = {"colour": 35, "ground": 15, "count": 15, "pair": 10, "place": 40}
    assert all(0.15 <= kinds[kind] / total <= 0.25 for kind, total in totals.items()), kinds
    seen = {word for i in range(600) for fact in facts_of(opened().scene(i)) for word in fact[1:]}
    assert seen >= {*COLOURS, *SHAPES, *GROUNDS, *map(str, COUNTS), "left", "above"}


def test_training_shows_nothing_held_out_and_tests_only_that():
    train, test = opened(), opened(split="test")
    for index in range(1200):
        assert not facts_of(train.scene(index)) & HELD_OUT
    for index in range(300):
        task = TASKS[index % 6]
        scene = test.scene(index)
        assert scene.meaning.task == task
        assert {fact[0] for fact in facts_of(scene) & HELD_OUT} == {TESTED_BY[task]}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(TASKS), st.sampled_from([(32, 32), (16, 24), (96, 40), (256, 256)]))
def test_scenes_show_what_they_claim_inside_the_image(seed, task, size):
    height, width = size
    scene = draw_scene(Random(seed), "train", task, height, width)
    assert scene.meaning.holds(scene.things)
    assert scene.meaning.task in (task, "position", "counting")
    for thing in scene.things:
        half, unit = thing.size / 2, min(size)
        assert half <= thing.x + 1e-9
        assert half <= thing.y + 1e-9
        assert thing.x <= width / unit - half + 1e-9
        assert thing.y <= height / unit - half + 1e-9


def test_elements_depend_on_split_seed_and_index_alone():
    def image(index, **changes):
        return opened(**changes).sample(index, torch.Generator().manual_seed(index)).image

    assert torch.equal(image(3), image(3, count=5))
    assert not torch.equal(image(3), image(4))
    assert not torch.equal(image(3), image(3, seed=1))
    assert not torch.equal(image(3), image(3, split="test"))


def test_images_are_varied_and_grey_ones_are_grey():
    images = torch.stack([opened().sample(index, torch.Generator()).image for index in range(50)])
    assert images.std(0).mean() > 0.3
    assert images.abs().max() <= 1
    grey = Shapes.Params().build(height=16, width=24, channels=1)
    assert grey.sample(0, torch.Generator()).image.shape == (1, 16, 24)
