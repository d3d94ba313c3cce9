"""The examples of the page on Python run, in one session, in the order of the page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import make_run, make_spec

PAGE = Path(__file__).parents[2] / "docs" / "python.md"


def test_the_pages_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    make_run(tmp_path / "runs" / "digits", make_spec(), classes=tuple("0123456789"))
    monkeypatch.chdir(tmp_path)
    session: dict[str, Any] = {"__name__": "__main__"}
    for example in re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.M | re.S):
        exec(compile(example, PAGE.name, "exec", dont_inherit=True), session)
    assert torch.equal(session["images"], session["drawn"].images)
    assert [picture.size for picture in session["pictures"]] == [(16, 16)] * 3
    assert torch.equal(session["filled"][..., :8], session["known"][..., :8])
    assert session["told"] == ["images 0/6", "images 6/6"]
    assert session["finished"] is None
    assert session["mine"].shape == (1, 1, 16, 16)
    assert session["results"][0].values.keys() >= {"agreement"}
    assert (session["steps"], session["quick"].step) == ([1, 2, 3], 3)
