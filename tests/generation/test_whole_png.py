"""A picture that is there already is believed only as it was written."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from PIL import Image

from pixelflow.generation.whole_png import is_whole


@pytest.fixture
def picture(tmp_path):
    file = tmp_path / "000000.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (4, 4, 3), dtype=np.uint8)).save(file)
    return file


def test_every_flipped_bit_is_noticed(picture):
    content = picture.read_bytes()
    assert is_whole(picture)
    for bit in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        picture.write_bytes(flipped)
        assert not is_whole(picture), bit


def test_what_is_cut_off_longer_or_something_else_is_named(picture, caplog):
    content = picture.read_bytes()
    for other in (*(content[:length] for length in range(0, len(content), 7)), content + b"\0", b"GIF89a" + content):
        picture.write_bytes(other)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert not is_whole(picture)
        (line,) = caplog.messages
        assert str(picture) in line
    picture.unlink()
    picture.mkdir()
    assert not is_whole(picture)


def test_what_is_not_there_needs_no_word(tmp_path, caplog):
    assert not is_whole(tmp_path / "000000.png")
    assert not caplog.messages
