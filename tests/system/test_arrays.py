"""Arrays and pictures that a command line names."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from PIL import Image

from pixelflow.system.arrays import read_array, read_picture
from pixelflow.system.errors import DataError, MissingInputError


@pytest.mark.parametrize("numbers", [np.arange(6.0).reshape(2, 3), np.array(True), np.zeros((2, 2), ">i2", order="F")])
def test_arrays_of_numbers(tmp_path, numbers):
    np.save(tmp_path / "a.npy", numbers)
    found = read_array(tmp_path / "a.npy")
    assert found.dtype == torch.float32
    assert found.tolist() == numbers.astype(float).tolist()


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3), ("RGBA", 3), ("P", 3)])
def test_pictures_are_grey_or_in_colour_as_they_are(tmp_path, mode, channels):
    Image.new("RGB", (3, 2), (255, 255, 255)).convert(mode).save(tmp_path / "a.png")
    assert torch.equal(read_array(tmp_path / "a.png"), torch.ones(channels, 2, 3))
    assert torch.equal(read_picture(tmp_path / "a.png", 1), torch.ones(1, 2, 3))


def npy(header: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()


BAD = {
    "empty": b"",
    "text": b"no array at all",
    "cut": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (9,)}\n"),
    "boasting": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,)}\n") + b"0000",
    "negative": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}\n"),
    "objects": npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}\n") + b"cos\nsystem\n.",
    "words": npy("{'descr': '<U1', 'fortran_order': False, 'shape': (1,)}\n") + b"aaaa",
    "code": npy("__import__('os').abort()\n"),
    "version": b"\x93NUMPY\x09\x00" + b"0" * 20,
    "not finite": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}\n") + np.float32("nan").tobytes(),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_array_is_refused(tmp_path, name):
    (tmp_path / "a.npy").write_bytes(BAD[name])
    with pytest.raises(DataError, match=r"is no array of numbers|holds what is not finite"):
        read_array(tmp_path / "a.npy")


def test_what_is_not_there_or_no_picture(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    os.mkfifo(tmp_path / "pipe.png")
    for name, error in (("b.npy", MissingInputError), ("b.png", MissingInputError), ("a.png", DataError),
                        ("pipe.png", DataError)):  # fmt: skip
        with pytest.raises(error, match=name):
            read_array(tmp_path / name)
