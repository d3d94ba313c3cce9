"""One flipped bit, in any kept file: refused or told, never believed in silence, and never a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import looks
from tests.flips import Subject, summed
from tests.kept_files import FORMAT_1, SUBJECTS, sealed, subjects

COUNT = 12
"""Trials a file."""


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    return sealed(tmp_path_factory.mktemp("flips") / "kept")


@pytest.mark.parametrize("name", SUBJECTS)
def test_no_flipped_bit_is_believed_in_silence(kept, tmp_path, name):
    (subject,) = (one for one in subjects(kept) if one.name == name)
    row = summed(subject, tmp_path / "copy", COUNT)
    assert not row.bad, str(row)
    assert sum(row.endings.values()) >= COUNT


def test_the_trials_find_what_is_believed_in_silence(tmp_path):
    """Files of format 1, which nobody can check, show that these trials can fail."""
    row = summed(Subject("samples", FORMAT_1 / "samples", looks.samples, ("samples.json",)), tmp_path / "copy", 100)
    assert row.bad
