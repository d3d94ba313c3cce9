"""Which class is which: a label is a place in a list of names, and two lists are matched by name, never by place.

A run's own list is the one that its weights were trained with. Data, real images, a classifier and a weaker run bring
lists of their own, in whatever order.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pixelflow.system.errors import DataError

_SHOWN = 10
"""Classes that a message names."""


def is_number(name: str) -> bool:
    """Whether a name is a whole number."""
    return name.isascii() and name.isdigit()


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Each name once: numbers by their value, then all others as text."""
    return tuple(sorted(set(names), key=_rank))


def _rank(name: str) -> tuple[int, int, str, str]:
    if not is_number(name):
        return 1, 0, name, name
    digits = name.lstrip("0")
    return 0, len(digits), digits, name  # by value, however long


def numbered(count: int) -> tuple[str, ...]:
    """The names of classes that have none."""
    return tuple(map(str, range(count)))


def shown(names: Sequence[str]) -> str:
    """Names for a message: ``cat, dog and 12 more``."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def places(names: Sequence[str], others: Sequence[str]) -> tuple[int | None, ...]:
    """Where each name stands in another list; None where that lacks it."""
    found = {_plain(name): place for place, name in enumerate(others)}
    return tuple(found.get(_plain(name)) for name in names)


def _plain(name: str) -> str:
    """Letters with accents have two spellings in Unicode, and file systems differ in which they give."""
    return unicodedata.normalize("NFC", name)


@dataclass(frozen=True)
class Match:
    """Where the classes of one list stand in another; see `match`."""

    names: tuple[str, ...]
    others: tuple[str, ...]
    of: str
    there: str
    places: tuple[int | None, ...]
    """For each of the names; empty where classes go by number, because one side has no names."""

    def __call__(self, label: int) -> int | None:
        """A label of the one list as a label of the other; None where that lacks the class.

        Raises:
            DataError: there is no class of this number.
        """
        known, whose = (self.names, self.of) if self.places else (self.others, self.there)
        if known and not 0 <= label < len(known):
            raise DataError(f"label {label} in {self.of} is outside 0..{len(known) - 1}, the classes in {whose}")
        return self.places[label] if self.places else label

    @property
    def is_same(self) -> bool:
        """Whether every label stays as it is."""
        return self.places == tuple(range(len(self.others)))

    @property
    def missing(self) -> tuple[str, ...]:
        """Those of the names that the other list lacks."""
        return tuple(name for name, place in zip(self.names, self.places, strict=False) if place is None)

    @property
    def extra(self) -> tuple[str, ...]:
        """What the other list has beside them."""
        return _lacking(self.others, self.names) if self.places else ()

    @property
    def note(self) -> str | None:
        """What people should know of it, in one line; None where the lists are equal."""
        named = self.names or self.others
        if not self.places:
            if named == numbered(len(named)):
                return None
            nameless, other = (self.there, self.of) if self.names else (self.of, self.there)
            return f"classes in {nameless} have no names and go by number: 0 is {named[0]!r} in {other}, and so on"
        if self.missing:
            return f"classes in {self.of} and not in {self.there}: {shown(self.missing)}"
        if self.extra:
            return f"classes in {self.there} and not in {self.of}: {shown(self.extra)}"
        return None if self.is_same else f"{self.of} and {self.there} list the classes in different orders; names count"


def match(names: Sequence[str], others: Sequence[str], *, of: str, there: str) -> Match:
    """Where the classes of one list stand in another that is equal but for the order, contains it or lies in it.

    An empty list stands for classes that are known by number alone; these go by number, and `Match.note` says so.

    Args:
        of, there: whose the lists are, for messages.

    Raises:
        DataError: neither list contains the other, or one names a class twice.
    """
    if tuple(names) == tuple(others):
        return Match(tuple(names), tuple(others), of, there, tuple(range(len(names))))
    for whose, own in ((of, names), (there, others)):
        _check_distinct(own, whose)
    here = places(names, others) if names and others else ()
    found = Match(tuple(names), tuple(others), of, there, here)
    if found.missing and found.extra:
        raise DataError(
            f"{of} and {there} have different classes: {shown(found.missing)} in {of} alone, "
            f"{shown(found.extra)} in {there} alone"
        )
    return found


def _check_distinct(names: Sequence[str], whose: str) -> None:
    seen: set[str] = set()
    for name in map(_plain, names):
        if name in seen:
            raise DataError(f"in {whose}, two classes are called {name!r}; rename one of them")
        seen.add(name)


def _lacking(names: Sequence[str], others: Sequence[str]) -> tuple[str, ...]:
    """Those of the names that the other list lacks."""
    return tuple(name for name, place in zip(names, places(names, others), strict=True) if place is None)
