"""What the package names is there, whole, small and told of."""

from importlib import metadata
from pathlib import Path

import pixelflow_zoo
import pytest

import pixelflow
from pixelflow.hub import zoo

FOLDER = Path(pixelflow_zoo.__file__).parent
NAMES = [entry.name for entry in metadata.entry_points(group=zoo.GROUP) if entry.value == "pixelflow_zoo"]
LARGEST = 5_000_000


def test_all_that_is_there_is_named():
    assert sorted(NAMES) == sorted(file.stem for file in FOLDER.glob("*.safetensors"))


@pytest.mark.parametrize("name", NAMES)
def test_a_model_is_small_has_a_card_and_draws(name, tmp_path, monkeypatch):
    monkeypatch.setenv("PIXELFLOW_CACHE", str(tmp_path))
    assert (FOLDER / f"{name}.safetensors").stat().st_size < LARGEST
    assert f"zoo:{name}" in (FOLDER / f"{name}.md").read_text()
    run = pixelflow.load(f"zoo:{name}", device="cpu")
    what = {"labels": [1]} if run.classes else {"text": "a red circle"}
    images = run.sample(**what, steps=1)
    assert images.isfinite().all()
    assert images.abs().max() > 0.1
