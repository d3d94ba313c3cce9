"""A few trials of `make torture`, so that the table that docs/reliability.md shows cannot rot."""

from __future__ import annotations

import pytest

from benchmarks.torture.__main__ import faults
from benchmarks.torture.trials import Row

FAULTS = faults(quick=True)
LONG = ("given", "signals", "two processes", "shards", "crowd", "load", "disks", "plugins", "specs", "two workers")


def rows():
    for name in FAULTS:
        yield pytest.param(name, marks=pytest.mark.slow if any(own in name for own in LONG) else (), id=name)


@pytest.mark.parametrize("name", list(rows()))
def test_nothing_is_lost_or_silent(name, tmp_path):
    row = Row(name)
    FAULTS[name](row, tmp_path)
    assert row.is_clean or row.notes[0].startswith("not run here"), row


def test_what_went_wrong_is_counted_under_its_worst():
    row = Row("fault")
    row.count("survived")
    row.count("silent", "other\npictures")
    assert (row.trials, row.survived, row.silent) == (2, 1, 1)
    assert row.notes == ["silent: other pictures"]
    assert not row.is_clean
