"""Labels that are numbers, as classes; what a number is must not decide how much memory is taken."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pixelflow.core.classes import numbered
from pixelflow.system.errors import DataError

MOST_CLASSES = 1 << 15
"""Numbers below it are classes, with those between them that have no image; ImageNet-21k has 21,841."""
MOST_IDS = 100_000
"""Different larger numbers that are still taken for classes; more are no classes, but each image's own."""


def classes_of(labels: NDArray[np.int64], where: str, cure: str = "") -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Names of the classes, and the class (n) of each image from its label (n); negative ones stay.

    Small numbers are classes themselves. Where one is larger than any class of a data set, all are ids: those that
    there are become the classes, in order, and are called by their ids.

    Raises:
        DataError: there are too many different ids.
    """
    largest = int(labels.max(initial=-1))
    if largest < MOST_CLASSES:
        return numbered(largest + 1), labels
    ids = np.unique(labels[labels >= 0])
    if len(ids) > MOST_IDS:
        raise DataError(
            f"{where}: the labels are {len(ids)} different numbers up to {largest}, more than {MOST_IDS}: "
            f"they are no classes{cure}"
        )
    return tuple(map(str, ids.tolist())), np.where(labels >= 0, np.searchsorted(ids, labels), labels)
