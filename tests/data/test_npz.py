"""Images in npz files are read without holding the file, whatever wrote it."""

from __future__ import annotations

import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from pixelflow.data.npz import IMAGES, Npz, NpzArray, image_shape
from pixelflow.system.errors import DataError, MissingInputError

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


def written(path: Path, shape: tuple[int, ...], count: int) -> Path:
    """An npz whose array says one shape and holds zeros of another size, packed."""
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(count)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{IMAGES}.npy", content)
    return path


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 60_000, 60_000, 3), "60000 x 60000 pixels, more than are read"),
        ((10_000_000_000, 1, 1, 3), "declares 10000000000 images, more than it has bytes"),
    ],
)
def test_what_a_header_declares_is_not_believed(tmp_path, shape, message):
    file = written(tmp_path / "a.npz", shape, count=64 << 20)
    assert file.stat().st_size < 1 << 18
    with pytest.raises(DataError, match=message):
        Npz(Npz.Params(file=file), height=6, width=8, channels=3)


def test_a_header_that_is_gigantic_is_not_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{IMAGES}.npy", b"\x93NUMPY\x02\x00" + struct.pack("<I", 1 << 31) + b" " * (1 << 25))
    with pytest.raises(DataError, match="cannot be read"):
        Npz(Npz.Params(file=tmp_path / "a.npz"), height=6, width=8, channels=3)


def test_labels_that_are_ids_become_classes(tmp_path):
    np.savez(tmp_path / "a.npz", PIXELS[:4], np.array([100_000_000, 7, 9, 100_000_000]))
    dataset = Npz(Npz.Params(file=tmp_path / "a.npz"), height=6, width=8, channels=3)
    assert dataset.classes == ("7", "9", "100000000")
    assert [dataset.sample(index, torch.Generator()).label for index in range(4)] == [2, 0, 1, 2]


def test_odd_zips_are_one_line(tmp_path):
    os.mkfifo(tmp_path / "pipe.npz")
    with pytest.raises(DataError, match="no plain file"):
        NpzArray(tmp_path / "pipe.npz", IMAGES)
    np.savez(tmp_path / "a.npz", PIXELS)
    content = bytearray((tmp_path / "a.npz").read_bytes())
    for start in (content.index(b"PK\x03\x04") + 6, content.index(b"PK\x01\x02") + 8):
        content[start] |= 1  # encrypted
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"cannot be read as an npz .*encrypted"):
        NpzArray(tmp_path / "a.npz", IMAGES)
