"""Flipping bits of files that are kept, to see that nothing is believed in silence.

A `Subject` says how a copy of its files is looked at; `trial` flips one bit of one file in a copy, looks, and says what
came of it. Used by the tests on small files and by longer runs of the same.
"""

from __future__ import annotations

import logging
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from pixelflow.system.errors import PixelflowError


class Ending(Enum):
    """What came of a flipped bit."""

    SAME = "same"
    """Nothing: all that is looked at is as before."""
    REFUSED = "refused"
    """One line, and an exit code that is not a bug's."""
    TOLD = "told"
    """A line in the log; what could be made anew is as before, and of the rest only what is sound was believed."""
    SILENT = "silent"
    """Something else was believed, without a word."""
    TRACEBACK = "traceback"


@dataclass(frozen=True)
class Flip:
    """One bit of one file, and what came of it."""

    file: Path
    """Within the subject's folder."""
    bit: int
    ending: Ending
    said: str


@dataclass(frozen=True)
class Subject:
    """A folder of kept files.

    Args:
        folder: is copied for every trial.
        look: everything that is believed of a copy, as plain data that can be compared.
        patterns: the files whose bits are flipped.
        may_lose: whether what a line of the log tells of may be missing from what is found, as from a history.
    """

    name: str
    folder: Path
    look: Callable[[Path], Any]
    patterns: tuple[str, ...] = ("**/*",)
    may_lose: bool = False

    def files(self) -> list[Path]:
        found = {path for pattern in self.patterns for path in self.folder.glob(pattern)}
        return sorted(path.relative_to(self.folder) for path in found if path.is_file() and path.stat().st_size)


class _Heard(logging.Handler):
    """What the log says meanwhile."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def trial(subject: Subject, scratch: Path, file: Path, bit: int, before: Any) -> Flip:
    """Flip a bit of `file` in a copy of the subject's folder and look; `before` is believed of it whole."""
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(subject.folder, scratch)
    target = scratch / file
    stamp = target.stat()
    content = bytearray(target.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    target.write_bytes(content)
    os.utime(target, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # as a disk does it: nobody wrote
    heard = _Heard()
    logging.getLogger().addHandler(heard)
    try:
        found = subject.look(scratch)
    except PixelflowError as error:
        is_line = "\n" not in str(error) or error.exit_code == 78
        return Flip(file, bit, Ending.REFUSED if error.exit_code != 1 and is_line else Ending.TRACEBACK, str(error))
    except Exception as error:
        return Flip(file, bit, Ending.TRACEBACK, f"{type(error).__name__}: {error}")
    finally:
        logging.getLogger().removeHandler(heard)
    if found == before:
        return Flip(file, bit, Ending.TOLD if heard.lines else Ending.SAME, "; ".join(heard.lines))
    said = "; ".join(heard.lines)
    return Flip(
        file, bit, Ending.TOLD if heard.lines and subject.may_lose else Ending.SILENT, said or repr(found)[:300]
    )


def flips(subject: Subject, scratch: Path, count: int, seed: int) -> Iterator[Flip]:
    """`count` trials a file, at bits that the seed chooses; half of them in the first 512 bytes."""
    before = subject.look(_copied(subject, scratch))
    for number, file in enumerate(subject.files()):
        lots = random.Random(f"{seed} {number}")
        bits = 8 * (subject.folder / file).stat().st_size
        for turn in range(count):
            within = bits if turn % 2 else min(bits, 8 * 512)
            yield trial(subject, scratch, file, lots.randrange(within), before)


def _copied(subject: Subject, scratch: Path) -> Path:
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(subject.folder, scratch)
    return scratch


@dataclass
class Row:
    """The sum of a subject's trials."""

    name: str
    endings: Counter[Ending] = field(default_factory=Counter)
    bad: list[Flip] = field(default_factory=list)

    def add(self, flip: Flip) -> None:
        self.endings[flip.ending] += 1
        if flip.ending in (Ending.SILENT, Ending.TRACEBACK):
            self.bad.append(flip)

    def __str__(self) -> str:
        told = ", ".join(f"{self.endings[ending]} {ending.value}" for ending in Ending)
        return "\n".join([f"{self.name}: {told}", *(f"  {flip.file} bit {flip.bit}: {flip.said}" for flip in self.bad)])


def summed(subject: Subject, scratch: Path, count: int, seed: int = 0) -> Row:
    """All trials of a subject."""
    row = Row(subject.name)
    for flip in flips(subject, scratch, count, seed):
        row.add(flip)
    return row
