"""Sealed documents: whatever is written is read, whatever is flipped is noticed, and old ones open."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from pixelflow.system import records
from pixelflow.system.errors import DataError, MissingInputError
from pixelflow.system.files import read_bytes
from pixelflow.system.records import FileKind, only_sealed


class Form(BaseModel):
    value: float
    names: list[str] = []


KIND = FileKind("a record of tests", "make it anew")
CHECKED = FileKind("a record of tests", "make it anew", Form)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
OWN = {records.FORMAT, records.HASH}


@given(st.dictionaries(st.text().filter(lambda key: key not in OWN), PLAIN, max_size=5))
def test_what_is_written_is_read(body):
    text = KIND.dumps(body).decode()
    assert repr(KIND.opened(json.loads(text), "x")) == repr(json.loads(json.dumps(body)))


def test_every_flipped_bit_is_noticed_or_changes_nothing(tmp_path):
    file, body = tmp_path / "record.json", {"value": 2.5, "names": ["a", "b"], "deep": {"more": [1, None, True]}}
    KIND.write(file, body)
    whole = file.read_bytes()
    for bit in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        file.write_bytes(flipped)
        said = ""
        try:
            assert KIND.read(file) == body, f"bit {bit} is silent"
        except DataError as error:
            said = str(error)
        assert not said or "make it anew" in said
        assert "\n" not in said


def test_a_document_without_format_and_hash_is_of_format_1(tmp_path):
    file = tmp_path / "record.json"
    file.write_text('{"value": 3, "names": []}')
    assert CHECKED.read(file) == {"value": 3, "names": []}


@pytest.mark.parametrize("lost", sorted(OWN))
def test_one_of_format_and_hash_alone_is_damage(tmp_path, lost):
    found = json.loads(KIND.dumps({"value": 1}))
    del found[lost]
    with pytest.raises(DataError, match="damaged"):
        KIND.opened(found, "x")


def test_a_later_format_says_so():
    later = FileKind("a record of tests", "make it anew", None, (only_sealed, only_sealed))
    with pytest.raises(DataError, match="of format 3, and this version of pixelflow knows those up to 2"):
        KIND.opened(json.loads(later.dumps({"value": 1})), "x")


def test_each_format_is_brought_to_the_newest_step_by_step():
    def renamed(body):
        return {"value": body["old"], **{key: value for key, value in body.items() if key != "old"}}

    def doubled(body):
        return {**body, "value": 2 * body["value"]}

    second = FileKind("a record of tests", "make it anew", None, (renamed,))
    third = FileKind("a record of tests", "make it anew", Form, (renamed, doubled))
    assert third.opened({"old": 1}, "x") == {"value": 2}
    assert third.opened(json.loads(second.dumps({"value": 4})), "x") == {"value": 8}
    assert third.opened(json.loads(third.dumps({"value": 5})), "x") == {"value": 5}
    with pytest.raises(DataError, match="is not a record of tests of format 1"):
        third.opened({"new": 1}, "x")


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"3", b"null", b'"x"', b"{", b"\xff", b"[" * 100_000, b'{"a":' * 100_000, b"9" * 5000,
                b'{"value": "x"}', b'{"value": []}', b'{"value": 1, "names": {"a": 1}}', b"{}"]
)  # fmt: skip
def test_json_of_any_other_form_is_one_line(tmp_path, content):
    file = tmp_path / "record.json"
    file.write_bytes(content)
    with pytest.raises(DataError, match="make it anew") as caught:
        CHECKED.read(file)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_only_regular_files_of_bounded_size_are_read(tmp_path):
    loop, pipe, large = tmp_path / "loop", tmp_path / "pipe", tmp_path / "large"
    loop.symlink_to(loop)
    os.mkfifo(pipe)
    large.write_bytes(bytes(11))
    for path, words in ((loop, "leads to itself"), (pipe, "a pipe"), (tmp_path, "a folder"), (large, "larger than 10")):
        with pytest.raises(DataError, match=words):
            read_bytes(path, 10)
    with pytest.raises(DataError, match="a device"):
        read_bytes(Path("/dev/null"), 10)
    for path in (tmp_path / "none", large / "below", tmp_path / "a\0b"):
        with pytest.raises(MissingInputError):
            read_bytes(path, 10)
    assert read_bytes(large, 11) == bytes(11)


def test_text_between_its_format_and_its_hash():
    text = "name: a\n# a remark\nsteps: 2\n"
    sealed = records.seal_text(text, 2)
    assert records.unseal_text(sealed, "x", "cure", 2) == 2
    assert records.unseal_text(text, "x", "cure", 2) == 1
    with pytest.raises(DataError, match="of format 3"):
        records.unseal_text(records.seal_text(text, 3), "x", "cure", 2)
    for bit in range(8 * len(sealed)):
        flipped = bytearray(sealed.encode())
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DataError, match="cure"):
            records.unseal_text(flipped.decode("latin-1"), "x", "cure", 2)
    for cut in (0, random.Random(0).randrange(len(sealed)), len(sealed) - 1):
        if cut:
            with pytest.raises(DataError):
                records.unseal_text(sealed[:cut], "x", "cure", 2)
