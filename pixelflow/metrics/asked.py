"""What generated images were to show, as whoever judges them counts the classes."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pixelflow.core.classes import match, shown
from pixelflow.system.errors import DataError

log = logging.getLogger(__name__)


def asked(labels: Sequence[int], classes: Sequence[str], known: Sequence[str], judge: str) -> NDArray[np.int64]:
    """Labels (n) of generated images as labels of the judge's classes, by name; -1 where it does not know the class.

    Args:
        classes: the names of the labels.
        known: the names of the judge's classes.
        judge: who that is, for messages.

    Raises:
        DataError: the two have different classes, or the judge knows none of the labels.
    """
    found = match(classes, known, of="the generated images", there=judge)
    theirs = [found(label) for label in labels]
    unknown = [label for label, own in zip(labels, theirs, strict=True) if own is None]
    if len(unknown) == len(labels):
        raise DataError(f"{judge} know none of the classes that the generated images are to show")
    if unknown:
        names = shown([found.names[label] for label in sorted(set(unknown))])
        log.warning("%d images are left out, for %s lack their classes: %s", len(unknown), judge, names)
    return np.array([-1 if own is None else own for own in theirs], np.int64)
