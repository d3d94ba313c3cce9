"""The world: coloured shapes on grounds; what can be said of it, and what training never shows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, product

COLOURS = {
    "red": (0.88, 0.12, 0.14),
    "orange": (0.98, 0.53, 0.06),
    "yellow": (0.96, 0.90, 0.12),
    "green": (0.12, 0.68, 0.22),
    "cyan": (0.12, 0.82, 0.86),
    "blue": (0.12, 0.26, 0.88),
    "purple": (0.62, 0.16, 0.80),
}
"""Red, green and blue in 0..1; all saturated, as no ground is."""
SHAPES = ("circle", "square", "triangle", "diamond", "cross")
GROUNDS = {"black": 0.08, "grey": 0.5, "white": 0.93}
"""Mean brightness of each."""
COUNTS = (2, 3, 4)
OPPOSITES = {"left": "right", "right": "left", "above": "below", "below": "above"}
"""The relations that a first thing may have to a second, each with the second's to the first."""
TASKS = ("single_object", "two_object", "counting", "colors", "position", "color_attr")
"""GenEval's (arXiv 2310.11513), by its own names."""

Fact = tuple[str, ...]
"""Something that a scene shows, its kind first: ``("colour", "red", "circle")``."""


@dataclass(frozen=True)
class Thing:
    """One shape in an image; lengths are shares of the image's shorter side, from its top left corner."""

    colour: str
    shape: str
    x: float = 0.0
    y: float = 0.0
    size: float = 0.0
    """Side of its bounding square."""


@dataclass(frozen=True)
class Part:
    """What a caption says of one kind of thing."""

    shape: str
    colour: str | None = None
    count: int = 1


@dataclass(frozen=True)
class Meaning:
    """All that a caption claims and the judge checks."""

    parts: tuple[Part, ...]
    relation: str | None = None
    """Of the first part to the second."""

    @property
    def task(self) -> str:
        """The task of GenEval that such a claim belongs to."""
        if self.relation is not None:
            return "position"
        coloured = any(part.colour for part in self.parts)
        if len(self.parts) > 1:
            return "color_attr" if coloured else "two_object"
        if self.parts[0].count > 1:
            return "counting"
        return "colors" if coloured else "single_object"

    def holds(self, things: Sequence[Thing]) -> bool:
        """Whether things show what is claimed; as in GenEval, only counts above one are exact."""
        found = [[thing for thing in things if _is(thing, part)] for part in self.parts]
        for part, own in zip(self.parts, found, strict=True):
            if len(own) < part.count or (part.count > 1 and len(own) != part.count):
                return False
        if self.relation is None:
            return True
        first, second = found
        return any(relation_of(one, other) == self.relation for one, other in product(first, second))


def _is(thing: Thing, part: Part) -> bool:
    return thing.shape == part.shape and part.colour in (None, thing.colour)


def relation_of(one: Thing, other: Thing) -> str:
    """Where `one` lies as seen from `other`, along the longer of both distances."""
    right, down = one.x - other.x, one.y - other.y
    if abs(right) >= abs(down):
        return "right" if right > 0 else "left"
    return "below" if down > 0 else "above"


def facts(ground: str, kinds: Sequence[tuple[str, str]], relation: str | None) -> set[Fact]:
    """What a scene of these (colour, shape) on a ground shows.

    Args:
        relation: of the first to the second, where there are two.
    """
    shapes = [shape for _, shape in kinds]
    found: set[Fact] = {("colour", colour, shape) for colour, shape in kinds}
    found |= {("ground", ground, shape) for shape in shapes}
    if len(set(shapes)) > 1:
        found.add(("pair", *sorted(shapes)))
    elif len(shapes) > 1:
        found.add(("count", str(len(shapes)), shapes[0]))
    if relation is not None:
        found.add(_place(shapes[0], relation, shapes[1]))
    return found


def _place(first: str, relation: str, second: str) -> Fact:
    """One form for "a left of b" and "b right of a"."""
    if relation in ("right", "below"):
        first, relation, second = second, OPPOSITES[relation], first
    return ("place", first, relation, second)


def _held_out() -> Iterable[Fact]:
    """About a fifth of each kind of fact; every colour, shape, ground, count and relation is still often seen."""
    number = {shape: index for index, shape in enumerate(SHAPES)}
    for (i, colour), shape in product(enumerate(COLOURS), SHAPES):
        if (i + 2 * number[shape]) % 5 == 0:
            yield ("colour", colour, shape)
    for (i, ground), shape in product(enumerate(GROUNDS), SHAPES):
        if (number[shape] - i) % 5 == 0:
            yield ("ground", ground, shape)
    for count, shape in product(COUNTS, SHAPES):
        if (number[shape] - count - 1) % 5 == 0:
            yield ("count", str(count), shape)
    for one, other in combinations(sorted(SHAPES), 2):
        if {one, other} in ({"circle", "triangle"}, {"square", "diamond"}):
            yield ("pair", one, other)
    for one, (i, relation), other in product(SHAPES, enumerate(("left", "above")), SHAPES):
        if one != other and (number[one] + 2 * number[other] + i) % 5 == 0:
            yield ("place", one, relation, other)


HELD_OUT: frozenset[Fact] = frozenset(_held_out())
"""Facts that no training image shows, though it shows their parts."""

TESTED_BY = {
    "single_object": "ground",
    "two_object": "pair",
    "counting": "count",
    "colors": "colour",
    "position": "place",
    "color_attr": "colour",
}
"""The kind of held-out fact that each image of a task shows in the test split."""
