"""Labels as people give them (numbers, names of classes, one or many) to one index an image."""

from __future__ import annotations

import difflib
import operator
from collections.abc import Iterable, Sequence
from typing import SupportsIndex, TypeVar

from torch import Tensor

from pixelflow.core.classes import is_number, places, shown
from pixelflow.system.errors import UsageError

Labels = int | str | Sequence[int | str] | Tensor

T = TypeVar("T")

_LARGEST = 2**63 - 1


def label_indices(labels: object, classes: Sequence[str], count: int) -> list[int]:
    """Indices of classes that are given by name or by number, in Python as on the command line.

    A number (2 or "2") is a name where classes have numbers for names; where none has, it is a place in the list,
    counted from 0.

    Args:
        classes: the names; empty where classes have none.
        count: how many classes there are.

    Raises:
        UsageError: there is no such class; the number after the last class's, "no class", is none either.
    """
    if isinstance(labels, Tensor):
        labels = labels.flatten().tolist()
    many: Iterable[object] = labels if isinstance(labels, Iterable) and not isinstance(labels, str) else [labels]
    return [_index(label if isinstance(label, str) else str(whole(label)), classes, count) for label in many]


def check_recorded(labels: Sequence[int], count: int) -> None:
    """Raise UsageError if a label in a record is none of `count` classes; older ones may hold the null class's."""
    outside = [label for label in labels if not 0 <= label < count]
    if outside:
        raise UsageError(f"label {outside[0]} in the record is outside 0..{count - 1}; there is no such class")


def whole(label: object) -> int:
    """A label as a number; raises UsageError if it is none."""
    try:
        if not isinstance(label, SupportsIndex):
            raise TypeError
        number = operator.index(label)
    except TypeError:
        raise UsageError(f"labels must be whole numbers or names of classes, not {label!r}") from None
    if abs(number) > _LARGEST:
        raise UsageError("a label is larger than any class's")
    return number


def _index(given: str, classes: Sequence[str], count: int) -> int:
    (found,) = places([given], classes)
    if found is not None:
        return found
    number = given.strip()
    if is_number(number.removeprefix("-")):
        return _numbered(number, classes, count)
    near = difflib.get_close_matches(given, classes, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise UsageError(f"no class is called {given!r}{hint} ({_known(classes)})")


def _numbered(number: str, classes: Sequence[str], count: int) -> int:
    """The class of a number that is no name as it is written."""
    numbers = [name for name in classes if is_number(name)]
    if not numbers:
        if not number.startswith("-") and len(number.lstrip("0")) <= len(str(count)) and int(number) < count:
            return int(number)
        raise UsageError(f"label {number} is outside 0..{count - 1} ({_known(classes)})")
    same = [name for name in numbers if name.lstrip("0") == number.lstrip("0")]  # 2 for a class that is called 02
    if len(same) != 1:
        raise UsageError(f"no class is called {number!r} ({_known(classes)}), and names here are numbers")
    return classes.index(same[0])


def _known(classes: Sequence[str]) -> str:
    return f"there are: {shown(classes)}" if classes else "this run's classes have no names"


def repeated(values: Sequence[T], count: int) -> list[T]:
    """The first `count` of the values, begun again whenever they end; nothing of nothing."""
    return [values[index % len(values)] for index in range(count)] if values else []
