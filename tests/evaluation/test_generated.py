"""What images are drawn to be measured."""

from __future__ import annotations

from collections import Counter

from PIL import Image

from pixelflow.evaluation.generated import values_for
from pixelflow.evaluation.inputs import plain_dataset
from pixelflow.generation.run import Run
from tests.conftest import make_run, make_spec


def test_captions_are_of_all_kinds_that_sorted_data_have(tmp_path):
    for index in range(120):
        Image.new("L", (16, 16)).save(tmp_path / f"{index:03}.png")
        (tmp_path / f"{index:03}.txt").write_text("a cat" if index < 60 else "a dog")
    spec = make_spec(f"data={{type: captioned_folder, root: {tmp_path}}}", "conditioners=[{type: bytes, dim: 16}]")
    run, data = Run.open(make_run(tmp_path / "run", spec)), plain_dataset(spec)
    kinds = Counter(values_for(run, 40, data)["caption"])
    assert min(kinds["a cat"], kinds["a dog"]) > 10
    assert values_for(run, 40, data)["caption"] == values_for(run, 40, data)["caption"]
    assert Counter(values_for(run, 240, data)["caption"]) == {"a cat": 120, "a dog": 120}
