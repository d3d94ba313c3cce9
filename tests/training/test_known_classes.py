"""A run goes on with the classes that it knows, whatever its data call or sort them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pixelflow.data import image_folder
from pixelflow.runs import checkpoint
from pixelflow.runs.runfolder import RunFolder
from pixelflow.system.errors import DataError, UsageError
from tests.training.conftest import Trained

LABELLED = "conditioners=[class_label]"


def pictures(root: Path, *classes: str) -> str:
    """Three random pictures a class; the override that names them."""
    for seed, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for number in range(3):
            pixels = np.random.default_rng([seed, number]).integers(0, 256, (16, 16), np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return f"data={{type: image_folder, root: '{root}'}}"


def weights(run: RunFolder) -> dict[str, torch.Tensor]:
    return checkpoint.load(run.checkpoints, parts=["model"]).tensors["model"]


def equal(one: RunFolder, other: RunFolder) -> bool:
    first, second = weights(one), weights(other)
    return all(torch.equal(tensor, second[name]) for name, tensor in first.items())


def test_a_run_that_sorted_numbers_as_text_goes_on_as_it_was(trained: Trained, tmp_path, monkeypatch, capsys):
    """What older versions began: the rest equals the uninterrupted run bit for bit."""
    data = pictures(tmp_path / "data", *map(str, range(11)))
    with monkeypatch.context() as older:
        older.setattr(image_folder, "in_order", lambda names: tuple(sorted(set(names))))
        whole = trained("whole", data, LABELLED)
        trained("parts", data, LABELLED, "training.steps=2")
    assert whole.classes[:3] == ("0", "1", "10")
    capsys.readouterr()
    parts = trained("parts", data, LABELLED)
    assert equal(whole, parts)
    said = f"the data and the run {parts.path} list the classes in different orders; names count"
    assert capsys.readouterr().err.count(said) == 1
    assert parts.classes == whole.classes
    assert not equal(whole, trained("new", data, LABELLED))  # where the order is another one


def test_a_renamed_class_is_refused_and_nothing_is_touched(trained: Trained, tmp_path):
    data = pictures(tmp_path / "data", "cat", "dog")
    run = trained("run", data, LABELLED, "training.steps=2")
    before = weights(run)
    (tmp_path / "data" / "cat").rename(tmp_path / "data" / "kitten")
    with pytest.raises(DataError, match=r"kitten in the data alone, cat in the run .* alone; give them the names"):
        trained("run", data, LABELLED)
    assert checkpoint.steps(run.checkpoints)[-1] == 2
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights(run).items())


def test_data_that_moved_are_compared_as_well(trained: Trained, tmp_path):
    trained("run", pictures(tmp_path / "data", "cat", "dog"), LABELLED, "training.steps=2")
    with pytest.raises(DataError, match="bird, fish in the data alone, cat, dog in the run"):
        trained("run", pictures(tmp_path / "elsewhere", "bird", "fish"), LABELLED)


def test_a_class_that_went_missing_leaves_the_others_what_they_are(trained: Trained, tmp_path, capsys):
    data = pictures(tmp_path / "data", "cat", "dog", "owl")
    run = trained("run", data, LABELLED, "training.steps=2")
    row = {name: weights(run)["conditioners.0.table.weight"][label] for label, name in enumerate(run.classes)}
    shutil.rmtree(tmp_path / "data" / "cat")
    capsys.readouterr()
    run = trained("run", data, LABELLED, "objective.condition_dropout=0.1")
    assert "classes in the run" in (said := capsys.readouterr().err)
    assert "not in the data: cat" in said
    assert run.classes == ("cat", "dog", "owl")
    after = weights(run)["conditioners.0.table.weight"]
    moved = {name: (after[label] - row[name]).abs().max().item() for label, name in enumerate(run.classes)}
    assert moved["cat"] < min(moved["dog"], moved["owl"])  # of the last class nothing is drawn, but what decays


def test_a_new_class_is_refused(trained: Trained, tmp_path):
    data = pictures(tmp_path / "data", "cat", "dog")
    run = trained("run", data, LABELLED, "training.steps=2")
    pictures(tmp_path / "data", "owl")
    with pytest.raises(DataError, match=rf"does not know these classes of its data: owl; .*init_from={run.path}"):
        trained("run", data, LABELLED)


def test_another_spec_is_named_before_its_classes_are(trained: Trained, tmp_path):
    trained("run", pictures(tmp_path / "data", "cat", "dog"), LABELLED, "training.steps=2")
    with pytest.raises(UsageError, match=r"another spec .*seed"):
        trained("run", pictures(tmp_path / "other", "bird", "fish"), LABELLED, "seed=8")


def test_folders_that_no_condition_reads_may_change(trained: Trained, tmp_path):
    data = pictures(tmp_path / "data", "cat", "dog")
    trained("run", data, "conditioners=[]", "training.steps=2")
    (tmp_path / "data" / "cat").rename(tmp_path / "data" / "kitten")
    assert checkpoint.steps(trained("run", data, "conditioners=[]").checkpoints)[-1] == 4


def test_images_that_lost_their_labels_are_refused(trained: Trained, tmp_path):
    """One loose picture makes a folder unlabelled; a number of classes in the spec must not hide it."""
    data = pictures(tmp_path / "data", "cat", "dog")
    named = "conditioners=[{type: class_label, classes: 2}]"
    trained("run", data, named, "training.steps=2")
    shutil.copy(tmp_path / "data" / "cat" / "0.png", tmp_path / "data" / "loose.png")
    with pytest.raises(DataError, match="the data set has no labels"):
        trained("run", data, named)
