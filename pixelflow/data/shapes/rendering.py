"""Drawing scenes as pixels, antialiased, on grounds of several textures."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

import numpy as np
from numpy.typing import NDArray

from pixelflow.data.shapes.scenes import Scene
from pixelflow.data.shapes.world import COLOURS, GROUNDS, Thing

Array = NDArray[np.float32]

_SAMPLES = 4
"""Samples a pixel and axis, of which the share inside a shape is its coverage."""
_JITTER = 0.04
"""Most that a colour strays from its name's, in every channel."""
_TEXTURE = 0.06
"""Most that a ground's brightness strays from its mean."""

_INSIDE: dict[str, Callable[[Array, Array], NDArray[np.bool_]]] = {
    "circle": lambda u, v: u**2 + v**2 <= 1,
    "square": lambda u, v: np.maximum(abs(u), abs(v)) <= 1,
    "triangle": lambda u, v: (abs(v) <= 1) & (2 * abs(u) <= v + 1),
    "diamond": lambda u, v: abs(u) + abs(v) <= 1,
    "cross": lambda u, v: (np.minimum(abs(u), abs(v)) <= 1 / 3) & (np.maximum(abs(u), abs(v)) <= 1),
}
"""Whether points are inside a shape whose bounding square is [-1, 1] x [-1, 1], v downwards."""


def coverage(shape: str, x: float, y: float, side: float, height: int, width: int) -> Array:
    """Share of each pixel (h w) that a shape covers, its centre and side in pixels."""
    covered = np.zeros((height, width), np.float32)
    top, left = (max(0, math.floor(place - side / 2)) for place in (y, x))
    bottom, right = min(height, math.ceil(y + side / 2)), min(width, math.ceil(x + side / 2))
    if top >= bottom or left >= right:
        return covered
    u, v = _points(left, right, x, side)[None, :], _points(top, bottom, y, side)[:, None]
    inside = _INSIDE[shape](u, v)
    cells = inside.reshape(bottom - top, _SAMPLES, right - left, _SAMPLES)
    covered[top:bottom, left:right] = cells.mean((1, 3))
    return covered


def _points(first: int, last: int, centre: float, side: float) -> Array:
    """Sample points of the pixels `first` to `last` (exclusive), from -1 to 1 within the shape."""
    points = (np.arange(first * _SAMPLES, last * _SAMPLES) + 0.5) / _SAMPLES
    return ((points - centre) * 2 / side).astype(np.float32)


def rendered(random: Random, scene: Scene, height: int, width: int) -> Array:
    """The image (h w 3) in 0..1."""
    image = np.repeat(_ground(random, GROUNDS[scene.ground], height, width)[..., None], 3, axis=-1)
    for thing in scene.things:
        covered = _covered(thing, height, width)[..., None]
        jitter = [random.uniform(-_JITTER, _JITTER) for _ in range(3)]
        colour = np.clip(np.array(COLOURS[thing.colour]) + jitter, 0, 1).astype(np.float32)
        image = image * (1 - covered) + colour * covered
    return image.astype(np.float32)


def _covered(thing: Thing, height: int, width: int) -> Array:
    unit = min(height, width)
    return coverage(thing.shape, thing.x * unit, thing.y * unit, thing.size * unit, height, width)


def _ground(random: Random, brightness: float, height: int, width: int) -> Array:
    """A grey ground (h w): plain, shaded, striped or grained."""
    v, u = np.mgrid[0:height, 0:width].astype(np.float32) / min(height, width)
    angle = random.uniform(0, 2 * math.pi)
    along = np.cos(angle) * u + np.sin(angle) * v
    waves = random.uniform(2, 5)
    grain = np.random.default_rng(random.getrandbits(32)).uniform(-1, 1, (height, width))
    textures = (np.zeros_like(u), np.sin(along * 2), np.sin(along * waves * 2 * math.pi), grain)
    return (brightness + _TEXTURE * random.choice(textures)).astype(np.float32)
