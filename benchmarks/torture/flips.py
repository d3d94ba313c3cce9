"""One flipped bit in a small file of every kind that is kept."""

from __future__ import annotations

from pathlib import Path

from benchmarks.torture.trials import Row
from tests.flips import Ending, flips
from tests.kept_files import sealed, subjects

_VERDICTS = {Ending.SILENT: "silent", Ending.TRACEBACK: "tracebacks"}


def every_file(row: Row, place: Path, count: int) -> None:
    """`count` flips in each file: refused in a line, or told and had again; anything else is the program's fault."""
    for subject in subjects(sealed(place / "kept")):
        for flip in flips(subject, place / "copy", count, seed=1):
            row.count(
                _VERDICTS.get(flip.ending, "survived"), f"{subject.name}: {flip.file} bit {flip.bit}: {flip.said}"
            )
