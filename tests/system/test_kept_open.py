"""Files that are kept open."""

import os

import pytest

from pixelflow.system import kept_open
from pixelflow.system.errors import MissingInputError


def test_a_file_is_opened_once_and_another_in_its_place_is_read_anew(tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(kept_open, "opened", lambda path, own=kept_open.opened: opened.append(path) or own(path))
    file = tmp_path / "a"
    file.write_bytes(b"0123456789")
    assert [kept_open.read(file, "one", place, 2) for place in (0, 8, 9, 20)] == [b"01", b"89", b"9", b""]
    assert opened == [file]
    (tmp_path / "b").write_bytes(b"abcdefghij")
    (tmp_path / "b").replace(file)
    assert kept_open.read(file, "two", 0, 3) == b"abc"
    assert opened == [file, file]


def test_no_more_are_open_than_a_process_may_have(tmp_path):
    for index in range(200):
        (tmp_path / str(index)).write_text(str(index))
        assert kept_open.read(tmp_path / str(index), "", 0, 9) == str(index).encode()
    assert 0 < len(kept_open._open) <= 64
    assert all(os.fstat(one.fileno()).st_size for one in kept_open._open.values())


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(MissingInputError, match="there is no such file"):
        kept_open.read(tmp_path / "none", "", 0, 1)
