"""A data set with the labels of another list is the same but for these."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from PIL import Image

from pixelflow.core.classes import match
from pixelflow.core.interfaces import BadSample, Dataset, Sample
from pixelflow.data.captioned_folder import CaptionedFolder
from pixelflow.data.renumbered import Renumbered


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    for name in ("cat", "dog", "owl"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (8, 8), "red").save(tmp_path / name / "1.png")
        (tmp_path / name / "1.txt").write_text(f"a {name}")
    (tmp_path / "dog" / "2.png").write_text("no image")
    (tmp_path / "dog" / "2.txt").write_text("broken")
    (tmp_path / "dog" / "3.pdf").touch()
    params = CaptionedFolder.Params(root=tmp_path, labels="folder").plain()
    return params.build(height=8, width=8, channels=3)


def test_only_the_labels_differ_in_a_worker_too(data):
    names = ("owl", "yak", "dog", "cat")
    moved = pickle.loads(pickle.dumps(Renumbered(data, match(data.classes, names, of="the data", there="the run"))))
    assert moved.classes == names
    assert (len(moved), moved.fingerprint, moved.left_out) == (len(data), data.fingerprint, data.left_out)
    assert moved.survey(9) == data.survey(9) is not None
    for index in range(len(data)):
        own, theirs = (one.sample(index, torch.Generator().manual_seed(1)) for one in (data, moved))
        assert moved.captions(index) == data.captions(index)
        if isinstance(own, BadSample):
            assert theirs == own
            continue
        assert isinstance(theirs, Sample)
        assert (theirs.caption, names[theirs.label]) == (own.caption, data.classes[own.label])
        assert torch.equal(theirs.image, own.image)
