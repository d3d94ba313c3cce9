"""Reading colour, shape and place of every thing off an image, and judging images by their captions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import cache

import numpy as np
from torch import Tensor

from pixelflow.data.shapes.rendering import Array, coverage
from pixelflow.data.shapes.scenes import SIZES
from pixelflow.data.shapes.wording import understood
from pixelflow.data.shapes.world import COLOURS, SHAPES, TASKS, Thing
from pixelflow.system.errors import DataError

_SATURATED = 0.25
"""Difference of a pixel's channels from which on it belongs to a thing; grounds are grey."""
_LIKENESS = 0.6
"""Overlap with the best shape from which on a thing has a shape at all."""
_AREA_SHARE = 0.2
"""Of the smallest thing's bounding square; smaller spots are no things."""


def read(image: Tensor) -> list[Thing]:
    """The things on an image (3 h w) in [-1, 1]; one of no known shape has the shape "".

    Raises:
        DataError: the image is grey, so that its colours cannot be judged.
    """
    from scipy import ndimage

    if len(image) != 3:
        raise DataError("the judge of shapes needs colour images; set image.channels to 3")

    pixels: Array = ((image.float().clamp(-1, 1) + 1) / 2).permute(1, 2, 0).cpu().numpy()
    saturation = pixels.max(-1) - pixels.min(-1)
    spots, _ = ndimage.label(saturation > _SATURATED)
    things = []
    for index, place in enumerate(ndimage.find_objects(spots), 1):
        thing = _thing(pixels, np.where(spots == index, saturation, 0), place)
        if thing is not None:
            things.append(thing)
    return things


def _thing(pixels: Array, saturation: Array, place: tuple[slice, slice]) -> Thing | None:
    """The thing at a place; None if it is too small to be one.

    A thing's edge blends with the grey ground, so saturation over the thing's own is the share that it covers.
    """
    height, width = saturation.shape
    unit = min(height, width)
    own = np.quantile(saturation[saturation > 0], 0.8)
    covered = np.minimum(saturation / own, 1)
    area = float(covered.sum())
    if area < _AREA_SHARE * (SIZES["small"][0] * unit) ** 2:
        return None
    y, x = (float((covered * (axis + 0.5)).sum()) / area for axis in np.mgrid[0:height, 0:width])
    likeness = {shape: _likeness(shape, covered, area, x, y) for shape in SHAPES}
    best = max(likeness, key=lambda shape: likeness[shape])
    core = covered > 0.8
    return Thing(
        colour=_colour(pixels[core].mean(0)),
        shape=best if likeness[best] >= _LIKENESS else "",
        x=x / unit,
        y=y / unit,
        size=(area / _moments(best)[0]) ** 0.5 / unit,
    )


def _likeness(shape: str, covered: Array, area: float, x: float, y: float) -> float:
    """Overlap, intersection over union, with a shape of the same area and centre of mass."""
    share, sink = _moments(shape)
    side = (area / share) ** 0.5
    ideal = coverage(shape, x, y - sink * side, side, *covered.shape)
    return float(np.minimum(ideal, covered).sum() / np.maximum(ideal, covered).sum())


@cache
def _moments(shape: str) -> tuple[float, float]:
    """A shape's share of its bounding square, and how far its centre of mass lies below the square's, in sides."""
    side = 200
    ideal = coverage(shape, side / 2, side / 2, side, side, side)
    rows = (np.arange(side) + 0.5) / side - 0.5
    return float(ideal.mean()), float((ideal.sum(1) * rows).sum() / ideal.sum())


def _colour(rgb: Array) -> str:
    """The name of the nearest colour."""
    return min(COLOURS, key=lambda name: float(((rgb - np.array(COLOURS[name])) ** 2).sum()))


def is_right(image: Tensor, caption: str) -> bool:
    """Whether an image (3 h w) shows what its caption claims.

    Raises:
        DataError: the caption names no shape of this world.
    """
    meaning = understood(caption)
    if meaning is None:
        raise DataError(f"the caption {caption!r} names none of: {', '.join(SHAPES)}; it cannot be judged")
    return meaning.holds(read(image))


def scores(images: Iterable[tuple[Tensor, str]]) -> dict[str, float]:
    """Share of right images for each task that occurs, and their mean ``overall`` first, as GenEval scores.

    Args:
        images: (3 h w) in [-1, 1], with their captions.

    Raises:
        DataError: there are none, or a caption names no shape of this world.
    """
    verdicts: dict[str, list[bool]] = defaultdict(list)
    for image, caption in images:
        right = is_right(image, caption)
        meaning = understood(caption)
        assert meaning is not None  # or it could not have been judged
        verdicts[meaning.task].append(right)
    if not verdicts:
        raise DataError("there is no image to judge")
    shares = {task: sum(verdicts[task]) / len(verdicts[task]) for task in TASKS if task in verdicts}
    return {"overall": sum(shares.values()) / len(shares), **shares}
