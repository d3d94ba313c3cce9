"""Drawing lots for scenes: what is on them, where, and what is said of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Literal

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
)

Split = Literal["train", "test"]

SIZES = {"small": (0.24, 0.29), "medium": (0.29, 0.36), "large": (0.36, 0.44)}
"""Sides of things by their name, as shares of the image's shorter side."""
SMALLEST_PIXELS = 8.0
"""A thing is at least so large; smaller ones cannot be told apart. Only crowded tiny images go below."""
_GAP_PIXELS = 2.0
_TRIES = 60


@dataclass(frozen=True)
class Scene:
    """An image before it is drawn, and a claim that is true of it."""

    ground: str
    things: tuple[Thing, ...]
    size: str
    """Of all the things: ``small``, ``medium`` or ``large``."""
    meaning: Meaning


@dataclass(frozen=True)
class _Kinds:
    """A scene without places."""

    ground: str
    kinds: tuple[tuple[str, str], ...]
    relation: str | None

    def is_for(self, split: Split, task: str) -> bool:
        """Training shows nothing held out; a test image what its task tests, and nothing else held out."""
        hidden = {fact[0] for fact in facts(self.ground, self.kinds, self.relation) & HELD_OUT}
        return hidden == (set() if split == "train" else {TESTED_BY[task]})


def draw_scene(random: Random, split: Split, task: str, height: int, width: int) -> Scene:
    """A scene for a task, at random."""
    kinds = _draw_kinds(random, task)
    while not kinds.is_for(split, task):
        kinds = _draw_kinds(random, task)
    size = random.choice(("small", "medium") if len(kinds.kinds) > 1 else tuple(SIZES))
    things = _place(random, kinds, size, height, width)
    return Scene(kinds.ground, things, size, _meaning(random, kinds, task, split))


def draw_task(random: Random) -> str:
    """The task of a training image."""
    return random.choice(TASKS)


def _draw_kinds(random: Random, task: str) -> _Kinds:
    ground = random.choice(tuple(GROUNDS))
    if task in ("single_object", "colors"):
        return _Kinds(ground, (_thing(random),), None)
    if task == "counting":
        return _Kinds(ground, (_thing(random),) * random.choice(COUNTS), None)
    one, other = random.sample(SHAPES, 2)
    kinds = tuple((random.choice(tuple(COLOURS)), shape) for shape in (one, other))
    return _Kinds(ground, kinds, random.choice(tuple(OPPOSITES)))


def _thing(random: Random) -> tuple[str, str]:
    return random.choice(tuple(COLOURS)), random.choice(SHAPES)


def _meaning(random: Random, kinds: _Kinds, task: str, split: Split) -> Meaning:
    """What the caption claims; training captions of counts and places name colours half of the time."""
    names_colours = task in ("colors", "color_attr")
    if split == "train" and task in ("counting", "position"):
        names_colours = random.random() < 0.5
    shown = dict.fromkeys(kinds.kinds)
    count = len(kinds.kinds) if len(shown) == 1 else 1
    parts = tuple(Part(shape, colour if names_colours else None, count) for colour, shape in shown)
    return Meaning(parts, kinds.relation if task == "position" else None)


def _place(random: Random, kinds: _Kinds, size: str, height: int, width: int) -> tuple[Thing, ...]:
    """Places for the things, apart and inside the image; they shrink until there is room."""
    shorter = min(height, width)
    things = [Thing(colour, shape) for colour, shape in kinds.kinds]
    scale = 1.0
    while True:
        for _ in range(_TRIES):
            sides = [scale * max(random.uniform(*SIZES[size]), SMALLEST_PIXELS / shorter) for _ in things]
            placed = [
                _thrown(random, *pair, height / shorter, width / shorter) for pair in zip(things, sides, strict=True)
            ]
            if _is_clear(placed, kinds.relation, _GAP_PIXELS * scale / shorter):
                return tuple(placed)
        scale *= 0.9


def _thrown(random: Random, thing: Thing, side: float, height: float, width: float) -> Thing:
    x, y = (random.uniform(side / 2, max(side / 2, length - side / 2)) for length in (width, height))
    return replace(thing, x=x, y=y, size=side)


def _is_clear(things: Sequence[Thing], relation: str | None, gap: float) -> bool:
    """Whether all things are apart, and the first lies to the second as it should, beyond doubt."""
    for index, one in enumerate(things):
        for other in things[:index]:
            room = (one.size + other.size) / 2 + gap
            if max(abs(one.x - other.x), abs(one.y - other.y)) < room:
                return False
    if relation is None:
        return True
    first, second = things
    right, down = first.x - second.x, first.y - second.y
    along, across = {"left": (-right, down), "right": (right, down), "above": (-down, right), "below": (down, right)}[
        relation
    ]
    return along > 0 and along > 1.5 * abs(across)
