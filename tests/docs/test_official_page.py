"""The example on the page about the release runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pixelflow.official.exchange import import_release
from tests.official.test_exchange import publish

PAGE = Path(__file__).parents[2] / "docs/official.md"


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = {"num_classes": 1000, "attention_head_dim": 4, "depth": 1}
    import_release(publish(tmp_path / "release", network, {"num_stages": 4}), tmp_path / "runs/official")
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(example, str(PAGE), "exec"), names)
    assert names["images"].shape == names["v"].shape == (2, 3, 16, 16)  # type: ignore[attr-defined]
