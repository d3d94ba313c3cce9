"""The notebook runs from its first cell to its last, with a shorter training."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib
import pytest

NOTEBOOK = Path(__file__).parents[2] / "docs" / "tutorial.ipynb"
SHORTER = {
    "STEPS = 2500": "STEPS = 2",
    "IMAGES = 400": "IMAGES = 20",
    "[1, 2, 4, 8, 16]": "[1, 2]",
    "steps=64": "steps=3",
}


def cells() -> list[str]:
    """The code of the notebook's cells."""
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


@pytest.fixture
def in_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    backend = matplotlib.get_backend()
    matplotlib.use("agg")
    yield
    matplotlib.use(backend)


def test_every_cell_runs(in_its_folder):
    code = "\n".join(cells())
    for usual, shorter in SHORTER.items():
        assert code.count(usual) == 1
        code = code.replace(usual, shorter)
    names: dict[str, object] = {}
    exec(compile(code, str(NOTEBOOK), "exec", dont_inherit=True), names)
    assert set(names["curves"]) == {"euler", "heun", "midpoint", "ralston"}
    assert names["results"][0].values["agreement"] <= 1
    assert names["seen"]


def test_what_it_shows_was_made_by_its_cells_in_order():
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    counts = [cell["execution_count"] for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert counts == list(range(1, len(counts) + 1))
    assert (
        sum("image/png" in output.get("data", {}) for cell in notebook["cells"] for output in cell.get("outputs", ()))
        >= 4
    )
