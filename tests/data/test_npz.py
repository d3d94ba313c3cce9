"""Images in npz files are read without holding the file, whatever wrote it."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from pixelflow.core.errors import DataError, MissingInputError
from pixelflow.data.npz import IMAGES, Npz, NpzArray, image_shape

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 6, 8, 3), dtype=np.uint8)


@pytest.fixture(params=[np.savez, np.savez_compressed], ids=["stored", "compressed"])
def file(request, tmp_path) -> Path:
    request.param(tmp_path / "images.npz", PIXELS, np.arange(40) % 7)
    return tmp_path / "images.npz"


def test_rows_in_any_order(file):
    array = NpzArray(file, IMAGES)
    for index in (0, 1, 2, 39, 5, 38, 0):
        assert np.array_equal(array[index], PIXELS[index])
    again = pickle.loads(pickle.dumps(array))
    assert len(pickle.dumps(array)) < 1000
    assert np.array_equal(again[7], PIXELS[7])


def test_images_and_labels_at_their_size(file):
    assert image_shape(file) == (3, 6, 8)
    dataset = Npz(Npz.Params(file=file).plain(), height=6, width=8, channels=3)
    sample = dataset.sample(9, torch.Generator())
    assert sample.label == 2
    assert dataset.classes == tuple("0123456")
    pixels = ((sample.image.permute(1, 2, 0) + 1) * 127.5).round().numpy().astype(np.uint8)
    assert np.array_equal(pixels, PIXELS[9])


def test_classes_have_the_names_that_the_file_gives(tmp_path):
    def opened(**more: np.ndarray) -> Npz:
        np.savez(tmp_path / "named.npz", PIXELS, np.arange(40) % 3, **more)
        return Npz(Npz.Params(file=tmp_path / "named.npz").plain(), height=6, width=8, channels=3)

    named = opened(classes=np.array(["cat", "dog", "owl", "yak"]))
    assert (named.classes, named.has_names) == (("cat", "dog", "owl", "yak"), True)
    for unusable in (["cat", "dog"], ["cat", "dog", "cat"], [1, 2, 3], [["cat", "dog", "owl"]]):
        assert (opened(classes=np.array(unusable)).classes, opened().has_names) == (("0", "1", "2"), False)


def test_other_sizes_and_channels(file):
    sample = Npz(Npz.Params(file=file).plain(), height=12, width=10, channels=1).sample(0, torch.Generator())
    assert tuple(sample.image.shape) == (1, 12, 10)


def test_a_changed_file_has_another_fingerprint(file):
    before = Npz(Npz.Params(file=file).plain(), height=6, width=8, channels=3).fingerprint
    np.savez(file, 255 - PIXELS[:30])
    assert Npz(Npz.Params(file=file).plain(), height=6, width=8, channels=3).fingerprint != before


def test_files_that_are_none_are_refused(tmp_path):
    def opened(name: str) -> Npz:
        return Npz(Npz.Params(file=tmp_path / name), height=6, width=8, channels=3)

    with pytest.raises(MissingInputError, match="no such file"):
        opened("nowhere.npz")
    np.save(tmp_path / "array.npy", PIXELS)
    (tmp_path / "array.npy").rename(tmp_path / "array.npz")
    with pytest.raises(DataError, match="cannot be read as an npz"):
        opened("array.npz")
    for name, arrays in {
        "named.npz": {"images": PIXELS},
        "floats.npz": {IMAGES: PIXELS / 255},
        "flat.npz": {IMAGES: PIXELS[0]},
        "first.npz": {IMAGES: PIXELS.transpose(0, 3, 1, 2)},
        "empty.npz": {IMAGES: PIXELS[:0]},
        "code.npz": {IMAGES: np.array([print], dtype=object)},
        "fortran.npz": {IMAGES: np.asfortranarray(PIXELS)},
    }.items():
        np.savez(tmp_path / name, **arrays)
        with pytest.raises(DataError, match=name):
            opened(name)


def test_a_damaged_stream_is_one_line(tmp_path):
    np.savez_compressed(tmp_path / "images.npz", PIXELS)
    content = bytearray((tmp_path / "images.npz").read_bytes())
    content[len(content) // 2] ^= 255
    (tmp_path / "images.npz").write_bytes(content)
    array = NpzArray(tmp_path / "images.npz", IMAGES)
    with pytest.raises(DataError, match="is damaged"):
        np.stack([array[index] for index in range(40)])
