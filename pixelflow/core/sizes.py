"""Sizes of images that keep their shape: about one area, in steps that patches and stages divide. No torch."""

from __future__ import annotations

import math
from collections.abc import Sequence

Size = tuple[int, int]
"""Height and width in pixels."""

_TOLERANCE = 1 / 8
"""Most that an area may differ from the nominal one."""
_STEPS = 16
"""Sides change in steps of about this part of the nominal side, so that batches hold few different sizes."""


def sizes_of(nominal: Size, unit: int, max_aspect: float) -> tuple[Size, ...]:
    """All sizes for images of about the nominal area, narrow ones first; with a size, the same turned by 90 degrees.

    Each side in turn is a multiple of the step, and the other one the multiple just below or above the exact area.

    Args:
        unit: divides every side.
        max_aspect: largest ratio of the longer to the shorter side.
    """
    side = math.sqrt(math.prod(nominal))
    step = unit * max(1, round(side / unit / _STEPS))
    area = (side / step) ** 2
    found: set[Size] = set()
    for one in range(1, math.floor(math.sqrt(area * max_aspect)) + 1):
        for other in {math.floor(area / one), math.ceil(area / one)} - {0}:
            if max(one, other) <= max_aspect * min(one, other) and abs(one * other / area - 1) <= _TOLERANCE:
                found |= {(one * step, other * step), (other * step, one * step)}
    nominals = {nominal, nominal[::-1]}
    others = {size for size in found if all(size[0] * width != size[1] * height for height, width in nominals)}
    return tuple(sorted(nominals | others, key=lambda size: (size[1] / size[0], size)))


def fitting_size(shape: Size, sizes: Sequence[Size]) -> Size:
    """The size that keeps most of a picture of this height and width when it is cropped; of equal ones, the largest."""
    return max(sizes, key=lambda size: (_kept(shape, size), math.prod(size)))


def _kept(shape: Size, size: Size) -> float:
    """Share of a picture that is left when it is resized to cover `size` and cropped."""
    ratio = shape[0] * size[1] / (shape[1] * size[0])
    return min(ratio, 1 / ratio)


def nearest_multiples(size: Size, unit: int) -> Size:
    """Both sides rounded to the nearest multiple of `unit`, at least one of it."""
    height, width = (max(1, round(side / unit)) * unit for side in size)
    return height, width
