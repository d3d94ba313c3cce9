"""Evaluations are read back as they were written, whatever else stands in the file."""

from __future__ import annotations

import json
import math
import random
import resource
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelflow.runs.history import Evaluated, History, best_of, evaluated, line_of
from pixelflow.runs.metric_result import MetricResult
from pixelflow.system import journal
from pixelflow.system.errors import CannotWriteError
from pixelflow.system.journal import Position

FIGURES = st.lists(st.floats(allow_nan=True, width=32), min_size=1, max_size=8)

JUNK = ["", "{", "[]", "3", "null", '"evaluation"', "\x00", '{"step": 1, "loss": 2.0}', '{"evaluation": 3}']
JUNK += ['{"step": 1, "evaluation": {}}', '{"evaluation": {"images": 4, "results": []}}']
JUNK += ['{"step": 1, "evaluation": {"images": 4, "results": [{"metric": "x", "values": {}}]}}']
JUNK += ['{"step": 1, "evaluation": {"images": 4, "results": [{"metric": "x", "values": 3}]}}']
JUNK += ['{"step": "one", "evaluation": {"images": 4, "results": [{"metric": "x", "values": {"a": 1}}]}}']


def result(value: float, higher: bool = False) -> MetricResult:
    return MetricResult(metric="distance", values={"distance": value, "ratio": 1.0}, higher_is_better=higher)


@given(FIGURES, st.booleans(), st.lists(st.sampled_from(JUNK), max_size=8))
def test_what_is_written_is_read_among_junk(tmp_path_factory, figures, higher, junk):
    lines = [json.dumps(line_of(step, 9, [result(value, higher)])) for step, value in enumerate(figures)]
    file = tmp_path_factory.mktemp("metrics") / "metrics.jsonl"
    file.write_text("\n".join([*junk, *lines, *junk, lines[0][:-3]]), encoding="utf-8")
    found = evaluated(file)
    assert [one.step for one in found] == list(range(len(figures)))
    assert all(a.value == b or math.isnan(b) for a, b in zip(found, figures, strict=True))
    assert {(one.metric, one.images, one.higher_is_better) for one in found} == {("distance", 9, higher)}


@given(FIGURES, st.booleans())
def test_nothing_is_better_than_the_best(figures, higher):
    found = [Evaluated(step, "distance", value, higher, 9) for step, value in enumerate(figures)]
    best = best_of(found)
    finite = [one for one in found if math.isfinite(one.value)]
    if best is None:
        assert not finite
        return
    assert best in finite
    for one in finite:
        assert one.value <= best.value if higher else one.value >= best.value
        assert one.value != best.value or one.step >= best.step


def test_no_file_tells_nothing(tmp_path):
    assert evaluated(tmp_path / "metrics.jsonl") == []


def written(path, steps=(1, 2, 3, 4)):
    history = History(path)
    for step in steps:
        history.append({"step": step, "loss": 0.5})
        if step % 2 == 0:
            history.append(line_of(step, 9, [result(1 / step)]))
    return history


def test_lines_are_read_once_and_what_is_added_is_found(tmp_path):
    path = tmp_path / "metrics.jsonl"
    history, other = written(path), History(path)
    for each in (history, other, History(path)):
        assert [one.step for one in each.evaluated] == [2, 4]
    history.append(line_of(6, 9, [result(0.1)]))
    assert [one.step for one in other.evaluated] == [2, 4, 6]
    assert [line["step"] for line in other.lines()] == [1, 2, 2, 3, 4, 4, 6]
    assert other.position == history.position == History(path).position


def test_what_was_read_or_written_is_not_read_again(tmp_path, monkeypatch):
    written(tmp_path / "metrics.jsonl", range(1, 1001))
    history, read, original = History(tmp_path / "metrics.jsonl"), [], journal.checked
    monkeypatch.setattr(journal, "checked", lambda *line: read.append(line) or original(*line))
    for step in range(1001, 1011):
        history.append({"step": step})
        assert history.evaluated[-1].step == 1000
        assert history.position.lines == 500 + step
    assert len(read) == 1500


def test_a_line_that_does_not_fit_on_the_disk_leaves_no_part_behind(tmp_path, monkeypatch):
    history = written(tmp_path / "metrics.jsonl")
    before = (tmp_path / "metrics.jsonl").read_bytes()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    heard = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, limit[1]))
    try:
        with pytest.raises(CannotWriteError, match=r"metrics\.jsonl: cannot be written"):
            history.append({"step": 5, "loss": 0.5})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, heard)
    assert (tmp_path / "metrics.jsonl").read_bytes() == before
    history.append({"step": 5, "loss": 0.5})
    assert [line["step"] for line in History(tmp_path / "metrics.jsonl").lines()] == [1, 2, 2, 3, 4, 4, 5]


def test_going_back_keeps_whole_lines_up_to_the_step(tmp_path, caplog):
    path = tmp_path / "metrics.jsonl"
    History(path).rewind(3)
    assert not path.exists()
    whole = written(tmp_path / "whole.jsonl", (1, 2, 3))
    history = written(path)
    with path.open("ab") as file:
        file.write(b'\xff{"step"')
    History(path).rewind(3, whole.position)
    assert path.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    history.append({"step": 4})
    assert [line["step"] for line in History(path).lines()] == [1, 2, 2, 3, 4]
    assert not caplog.records


@pytest.mark.parametrize("cut", ["the end", "the middle", "the beginning", "all", "the file"])
def test_a_history_that_lost_lines_says_so_and_goes_on(tmp_path, caplog, cut):
    path = tmp_path / "metrics.jsonl"
    known = written(path).position
    lines = path.read_bytes().splitlines(keepends=True)
    left = {"the end": lines[:-2], "the middle": lines[:2] + lines[3:], "the beginning": lines[1:], "all": []}
    if cut == "the file":
        path.unlink()
    else:
        path.write_bytes(b"".join(left[cut]))
    history = History(path)
    history.rewind(4, known)
    assert "lost or was changed" in caplog.text
    history.append({"step": 5})
    assert ("not believed: line" in caplog.text) == (cut in ("the middle", "the beginning"))
    assert [line["step"] for line in History(path).lines()][-1] == 5


def test_every_flipped_bit_of_the_metrics_is_noticed(tmp_path, caplog):
    path = tmp_path / "metrics.jsonl"
    known = written(path).position
    whole, found = path.read_bytes(), [(one.step, one.value) for one in History(path).evaluated]
    lines = list(History(path).lines())
    for bit in random.Random(0).sample(range(8 * len(whole)), 400):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        caplog.clear()
        history = History(path)
        assert {(one.step, one.value) for one in history.evaluated} <= set(found)
        assert all(line in lines for line in history.lines())
        history.rewind(4, known)
        assert caplog.text, f"bit {bit} is silent"


def test_metrics_of_former_versions_are_believed_and_continued(tmp_path, caplog):
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(line_of(step, 9, [result(step)])) + "\n" for step in (1, 2)))
    history = History(path)
    history.append({"step": 3, "loss": 1.0})
    assert [one.step for one in History(path).evaluated] == [1, 2]
    assert [line["step"] for line in History(path).lines()] == [1, 2, 3]
    assert not caplog.records
    path.write_bytes(path.read_bytes().replace(b'"distance": 2', b'"distance": 3', 1))
    assert History(path).position != Position()
    assert "not believed: line 3" in caplog.text
