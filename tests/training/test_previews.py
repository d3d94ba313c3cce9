"""What previews show is what the spec chooses."""

from __future__ import annotations

import pytest
import torch

from pixelflow.core.assembly import build_dataset
from pixelflow.system.errors import UsageError
from pixelflow.system.parallel import Parallel
from pixelflow.training.previews import Previews
from tests.conftest import lively_model, make_spec

TEXT = "conditioners=[{type: bytes, dim: 16}]"


def drawn(tmp_path, monkeypatch, *overrides):
    """(titles, columns) of the grid, and the names of the rows of the filmstrip."""
    from pixelflow.generation import pictures

    spec = make_spec("training.samples=6", "sampling.steps=1", *overrides)
    seen = {}
    grid, filmstrip = pictures.grid, pictures.filmstrip
    monkeypatch.setattr(pictures, "grid", lambda *given: seen.update(grid=given[1:3]) or grid(*given))
    monkeypatch.setattr(pictures, "filmstrip", lambda *given, **named: seen.update(named) or filmstrip(*given, **named))
    previews = Previews(tmp_path, spec, build_dataset(spec))
    assert previews.draw(lively_model(spec), 4, Parallel(torch.device("cpu"))).is_file()
    return seen


def test_chosen_labels_by_number_and_name_in_columns(tmp_path, monkeypatch):
    seen = drawn(tmp_path, monkeypatch, "training.labels=[3, '7']")
    assert seen["grid"] == (["3", "7"] * 3, 2)
    assert seen["rows"] == ["3", "7"] * 3
    assert len(seen["clean"]) == 2


def test_chosen_prompts_all_of_them(tmp_path, monkeypatch):
    prompts = [f"prompt {number}" for number in range(8)]
    seen = drawn(tmp_path, monkeypatch, TEXT, "data=shapes", f"training.prompts={prompts}")
    assert seen["grid"] == (prompts, None)


def test_what_cannot_be_shown_is_refused_before_training(tmp_path):
    for overrides, message in (
        (["training.labels=[11]"], "training.labels: "),
        (["training.labels=[cat]"], "training.labels: no class is called 'cat'"),
        (["training.prompts=[a dog]"], "training.prompts: no conditioner of the spec reads captions; leave it out"),
    ):
        spec = make_spec(*overrides)
        with pytest.raises(UsageError, match=message):
            Previews(tmp_path, spec, build_dataset(spec))
