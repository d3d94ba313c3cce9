"""Data sets as images to measure."""

from __future__ import annotations

import logging

import pytest
from PIL import Image

from pixelflow.data.image_folder import ImageFolder
from pixelflow.evaluation.sources import DatasetSource
from pixelflow.system.errors import DataError
from tests.data.bad_images import write_bad_images


@pytest.fixture
def folder(tmp_path):
    bad = write_bad_images(tmp_path)
    for index in range(70):
        Image.new("L", (8, 8), index).save(tmp_path / f"good{index:02}.png")
    dataset = ImageFolder(ImageFolder.Params(root=tmp_path).plain(), height=8, width=8, channels=1)
    return dataset, bad


def test_unreadable_images_are_left_out_counted_and_named(folder, caplog):
    dataset, bad = folder
    source = DatasetSource(dataset, bad_images=len(bad))
    with caplog.at_level(logging.WARNING):
        first, second = list(source), list(source)
    assert [round((image.mean().item() + 1) * 127.5) for batch in first for image in batch.images] == list(range(70))
    assert sum(len(batch.images) for batch in second) == len(source) == 70
    assert len(caplog.messages) == len(bad)
    assert set(source.tally.reasons) == {str(path) for path in bad}


def test_too_many_unreadable_images_stop_the_evaluation(folder):
    dataset, bad = folder
    with pytest.raises(DataError, match=rf"{len(bad)} unreadable.*raise evaluation\.bad_images"):
        list(DatasetSource(dataset, bad_images=len(bad) - 1))


def test_given_labels_stay_with_their_images(tmp_path):
    for index in range(4):
        Image.new("L", (8, 8), 10 * index).save(tmp_path / f"{index}.png")
    (tmp_path / "1.png").write_bytes(b"torn")
    dataset = ImageFolder(ImageFolder.Params(root=tmp_path).plain(), height=8, width=8, channels=1)
    (batch,) = DatasetSource(dataset, bad_images=1, labels=[5, 6, 7, 8], classes=tuple("abcdefghi"))
    assert batch.labels == [5, 7, 8]
    assert batch.classes == tuple("abcdefghi")


def test_a_source_of_only_bad_images(tmp_path):
    (tmp_path / "1.png").write_bytes(b"torn")
    dataset = ImageFolder(ImageFolder.Params(root=tmp_path).plain(), height=8, width=8, channels=1)
    with pytest.raises(DataError, match="no readable image"):
        list(DatasetSource(dataset, bad_images=9))
