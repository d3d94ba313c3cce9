"""Labels as people give them (indices, names of classes, one or many) to one index an image."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import TypeVar

from torch import Tensor

from pixelflow.core.errors import UsageError

Labels = int | str | Sequence[int | str] | Tensor

T = TypeVar("T")

_SHOWN = 10
_LARGEST = 2**63 - 1
"""What a tensor of labels can hold; whether there is such a class, its conditioner says."""


def label_indices(labels: Labels, classes: Sequence[str]) -> list[int]:
    """Indices of labels given as whole numbers or as names of `classes`; a name comes before a number.

    Raises:
        UsageError: a name that no class has, or a number that none can have.
    """
    if isinstance(labels, Tensor):
        labels = labels.flatten().tolist()
    many = [labels] if isinstance(labels, (int, str)) else labels
    found = [_index(label, classes) if isinstance(label, str) else label for label in many]
    for label in found:
        if label > _LARGEST:
            raise UsageError(f"label {label} is larger than any class's")
    return found


def _index(name: str, classes: Sequence[str]) -> int:
    if name in classes:
        return classes.index(name)
    if name.isdecimal():
        return int(name)
    near = difflib.get_close_matches(name, classes, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    more = ", ..." if len(classes) > _SHOWN else ""
    known = f"there are: {', '.join(classes[:_SHOWN])}{more}" if classes else "this run's classes have no names"
    raise UsageError(f"no class is called {name!r}{hint} ({known})")


def repeated(values: Sequence[T], count: int) -> list[T]:
    """The first `count` of the values, begun again whenever they end; nothing of nothing."""
    return [values[index % len(values)] for index in range(count)] if values else []
