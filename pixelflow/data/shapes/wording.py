"""Captions: varied wordings of a claim, and the claim behind a wording."""

from __future__ import annotations

import re
from random import Random

from pixelflow.data.shapes.world import COLOURS, GROUNDS, SHAPES, Meaning, Part

_NUMBERS = {2: ("two", "2"), 3: ("three", "3"), 4: ("four", "4")}
_SIZES = ("small", "medium", "large")
_FRAMES = ("{}", "{}", "a picture of {}", "an image of {}", "a drawing of {}")
_PAIRS = ("{} and {}", "{} next to {}", "{} beside {}", "{} together with {}")
_RELATIONS = {
    "left": ("to the left of", "left of"),
    "right": ("to the right of", "right of"),
    "above": ("above", "over"),
    "below": ("below", "under"),
}
_PLACES = {"left": "on its left", "right": "on its right", "above": "above it", "below": "below it"}
_PLURALS = {shape: f"{shape}es" if shape.endswith("s") else f"{shape}s" for shape in SHAPES}

_NOUNS = {word: shape for shape in SHAPES for word in (shape, _PLURALS[shape])}
_COUNTS = {word: number for number, words in _NUMBERS.items() for word in words} | dict.fromkeys(("a", "an", "one"), 1)
_WAYS = {"left": "left", "right": "right", "above": "above", "over": "above", "below": "below", "under": "below"}
_GROUND = re.compile(rf" on an? ({'|'.join(GROUNDS)}) background$")


def worded(random: Random, meaning: Meaning, size: str, ground: str, names_ground: bool) -> str:
    """A caption for a claim.

    Args:
        size: that of the things, which is mentioned now and then.
        names_ground: whether the ground is mentioned for certain; else it is now and then.
    """
    named_size = size if random.random() < 0.25 else None
    phrases = [_phrase(random, part, named_size) for part in meaning.parts]
    text = random.choice(_FRAMES).format(_joined(random, phrases, meaning.relation))
    return f"{text} on a {ground} background" if names_ground or random.random() < 0.4 else text


def _phrase(random: Random, part: Part, size: str | None) -> str:
    words = [word for word in (size, part.colour) if word]
    if part.count > 1:
        group = random.choice(("", "", "a group of "))
        return group + " ".join([random.choice(_NUMBERS[part.count]), *words, _PLURALS[part.shape]])
    words = [*words, part.shape]
    article = "an" if words[0][0] in "aeiou" else "a"
    return " ".join([random.choice((article, article, "one")), *words])


def _joined(random: Random, phrases: list[str], relation: str | None) -> str:
    if len(phrases) == 1:
        return phrases[0]
    if relation is None:
        return random.choice(_PAIRS).format(*phrases)
    first, second = phrases
    if random.random() < 0.25:
        return f"{second} with {first} {_PLACES[relation]}"
    return f"{first} {random.choice(_RELATIONS[relation])} {second}"


def understood(caption: str) -> Meaning | None:
    """The claim of a caption in this world's words; None if it names no shape.

    Words that are not the world's are passed over, so that people may write their own captions.
    """
    text = _GROUND.sub("", " ".join(caption.lower().replace(",", " ").split()).rstrip("."))
    words = text.split()
    parts = [_part(words, index) for index, word in enumerate(words) if word in _NOUNS]
    if not parts:
        return None
    ways = [_WAYS[word] for word in words if word in _WAYS]
    if len(parts) != 2 or not ways:
        return Meaning(tuple(parts))
    is_turned = any(text.endswith(place) for place in _PLACES.values())
    return Meaning(tuple(reversed(parts) if is_turned else parts), ways[0])


def _part(words: list[str], noun: int) -> Part:
    """The noun at an index with its colour and number, which stand before it."""
    colour, count = None, 1
    for word in reversed(words[:noun]):
        if word in COLOURS:
            colour = word
        elif word in _COUNTS:
            count = _COUNTS[word]
            break
        elif word not in _SIZES:
            break
    return Part(_NOUNS[words[noun]], colour, count)
