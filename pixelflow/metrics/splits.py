"""Parts of a set of images: drawn at random by a fixed seed, never by place, and balanced over labels where it has any.

Folders are sorted by class, splits take turns over tasks, videos repeat: a part taken by place (every other image, the
first thousand) may show something else than the whole, and a figure that rests on it is then wrong without a word.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]

_SEED = 0


def halves(count: int, labels: Sequence[int] | NDArray[np.integer] | None = None) -> tuple[Indices, Indices]:
    """Two halves of the indices below `count`; of each label's images they get equally many, to within one."""
    order = shuffled(count, labels)
    return order[0::2], order[1::2]


def held_out(labels: NDArray[np.integer], one_in: int, seed: int) -> NDArray[np.bool_]:
    """Which images (n) are kept aside: one in so many, of each label as well, to within one."""
    chosen = np.zeros(len(labels), dtype=bool)
    chosen[shuffled(len(labels), labels, seed)[one_in - 1 :: one_in]] = True
    return chosen


def some(count: int, most: int, seed: int = _SEED) -> Indices:
    """At most so many of the indices below `count`, in ascending order."""
    return np.sort(np.random.default_rng(seed).permutation(count)[:most])


def some_of_each(labels: NDArray[np.integer], most: int) -> Indices:
    """At most so many indices: one of each label as far as that goes, the others in the labels' proportion."""
    order = np.random.default_rng(_SEED).permutation(len(labels))
    _, label, counts = np.unique(labels[order], return_inverse=True, return_counts=True)
    grouped = np.argsort(label, kind="stable")
    within = np.empty(len(labels), dtype=np.int64)
    within[grouped] = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    return order[np.argsort(within / counts[label], kind="stable")[:most]]


def shuffled(count: int, labels: Sequence[int] | NDArray[np.integer] | None = None, seed: int = _SEED) -> Indices:
    """All indices in random order; where labels are given, one label's after the other's."""
    order = np.random.default_rng(seed).permutation(count)
    return order if labels is None else order[np.argsort(np.asarray(labels)[order], kind="stable")]
