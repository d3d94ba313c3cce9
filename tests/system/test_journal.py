"""A journal notices whatever is changed, lost or put elsewhere in it, but for what is missing at its end."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from pixelflow.system import journal
from pixelflow.system.journal import Position

PLAIN = st.dictionaries(
    st.text().filter(lambda key: key not in ("format", "sha256")),
    st.none() | st.booleans() | st.integers(-9, 10**12) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    min_size=1,
    max_size=4,
)
LINES = st.lists(PLAIN, min_size=1, max_size=5)


def written(lines: list[dict[str, object]]) -> list[bytes]:
    return [line.text.encode() for line in journal.all_sealed(lines)]


def soundness(raw: list[bytes]) -> list[bool]:
    return [line.is_sound for line in journal.all_checked(raw)]


@given(LINES)
def test_what_was_written_is_sound_and_says_what_it_said(lines):
    sealed, found = list(journal.all_sealed(lines)), list(journal.all_checked(written(lines)))
    assert found == sealed
    assert [line.position.lines for line in found] == list(range(1, len(lines) + 1))
    for line, wanted in zip(found, lines, strict=True):
        said = json.loads(line.text)
        assert said.pop("format") == 2
        assert said.pop("sha256") == line.position.sha256
        assert said == wanted


@given(LINES, st.data())
def test_a_changed_byte_is_noticed(lines, data):
    raw = written(lines)
    which = data.draw(st.integers(0, len(raw) - 1))
    place = data.draw(st.integers(0, len(raw[which]) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte not in (raw[which][place], 10)))
    raw[which] = raw[which][:place] + bytes([other]) + raw[which][place + 1 :]
    assert not soundness(raw)[which]


@given(LINES, st.data())
def test_a_lost_line_is_noticed_by_the_next_and_one_at_the_end_by_the_position(lines, data):
    raw = written([*lines, {"step": 1}])
    end = list(journal.all_checked(raw))[-1].position
    lost = raw.pop(data.draw(st.integers(0, len(raw) - 1)))
    assert not all(soundness(raw)) or list(journal.all_checked([*raw, lost]))[-1].position == end
    assert list(journal.all_checked(raw))[-1].position != end


@given(LINES, st.data())
def test_lines_that_changed_places_are_noticed(lines, data):
    raw = written([*lines, {"step": 1}])
    place = data.draw(st.integers(0, len(raw) - 2))
    raw[place], raw[place + 1] = raw[place + 1], raw[place]
    assert not all(soundness(raw))


@given(LINES, LINES)
def test_lines_of_a_former_version_stand_before_all_others(former, lines):
    old = [json.dumps(line).encode() for line in former]
    last = list(journal.all_checked(old))[-1].position
    new = []
    for line in lines:
        sealed = journal.sealed(line, last)
        last = sealed.position
        new.append(sealed.text.encode())
    assert all(soundness([*old, *new]))
    assert soundness([*new, *old])[len(new) :] == [False] * len(old)


def test_a_line_says_where_it_ends_whatever_it_holds(tmp_path):
    path, before, sizes = tmp_path / "journal", Position(), []
    for line in ({"step": 1}, {"what": "naïve \udcff \n"}, {"step": 2}):
        new = journal.sealed(line, before)
        before = new.position
        sizes.append(journal.append(path, new))
    raw = path.read_bytes().splitlines(keepends=True)
    assert sizes == [len(b"".join(raw[: index + 1])) for index in range(3)]
    assert soundness([line.rstrip(b"\n") for line in raw]) == [True] * 3
