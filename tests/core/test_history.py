"""Evaluations are read back as they were written, whatever else stands in the file."""

from __future__ import annotations

import json
import math

from hypothesis import given
from hypothesis import strategies as st

from pixelflow.core.history import Evaluated, best_of, evaluated, line_of

FIGURES = st.lists(st.floats(allow_nan=True, width=32), min_size=1, max_size=8)

JUNK = ["", "{", "[]", "3", "null", '"evaluation"', "\x00", '{"step": 1, "loss": 2.0}', '{"evaluation": 3}']
JUNK += ['{"step": 1, "evaluation": {}}', '{"evaluation": {"images": 4, "results": []}}']
JUNK += ['{"step": 1, "evaluation": {"images": 4, "results": [{"metric": "x", "values": {}}]}}']
JUNK += ['{"step": 1, "evaluation": {"images": 4, "results": [{"metric": "x", "values": 3}]}}']
JUNK += ['{"step": "one", "evaluation": {"images": 4, "results": [{"metric": "x", "values": {"a": 1}}]}}']


def result(value: float, higher: bool = False) -> dict[str, object]:
    return {"metric": "distance", "values": {"distance": value, "ratio": 1.0}, "higher_is_better": higher, "more": 1}


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
