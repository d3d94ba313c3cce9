"""Many images go to disk by the recipe, within little memory, and go on after a stop."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from pixelflow.generation.draw import Drawn
from pixelflow.generation.npz_export import write_npz
from pixelflow.generation.numbered import NumberedImages
from pixelflow.system.errors import CannotWriteError, DataError, NonFiniteError

PICTURES = np.random.default_rng(0).integers(0, 256, (10, 6, 8, 3), dtype=np.uint8)


def numbered(folder, count: int = 10, recipe: object = 0) -> NumberedImages:
    return NumberedImages(folder, count, {"recipe": recipe})


def drawn(indices):
    """Image i is as bright as i, in batches of 4."""
    for start in range(0, len(indices), 4):
        brightness = torch.tensor(indices[start : start + 4]) / 127.5 - 1
        yield Drawn(brightness[:, None, None, None].expand(-1, 3, 6, 8), [], [])


def test_missing_images_alone_are_drawn(tmp_path):
    images = numbered(tmp_path / "a")
    assert list(images.draw(drawn)) == [0, 4, 8, 10]
    kept = images.file(3).stat().st_mtime_ns
    for index in (2, 9):
        images.file(index).unlink()
    assert list(images.draw(drawn)) == [8, 10]
    assert images.file(3).stat().st_mtime_ns == kept
    assert [np.asarray(Image.open(images.file(index))).max() for index in range(10)] == list(range(10))


def test_a_damaged_image_is_drawn_again(tmp_path, caplog):
    """A decoder need not notice a bit of the pixels that flipped."""
    images = numbered(tmp_path / "a")
    list(images.draw(drawn))
    content = images.file(3).read_bytes()
    place = content.index(b"IDAT") + 8
    images.file(3).write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
    assert list(images.draw(drawn)) == [9, 10]
    assert images.file(3).read_bytes() == content
    assert f"{images.file(3)}: is damaged" in caplog.text


def test_another_recipe_or_other_files_are_refused(tmp_path):
    list(numbered(tmp_path / "a").draw(drawn))
    with pytest.raises(CannotWriteError, match="another recipe"):
        list(numbered(tmp_path / "a", recipe=1).draw(drawn))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "mine.txt").touch()
    with pytest.raises(CannotWriteError, match="not empty"):
        list(numbered(tmp_path / "b").draw(drawn))


def test_an_image_that_is_not_finite_is_named(tmp_path):
    def diverging(indices):
        for part in drawn(indices):
            yield Drawn(torch.where(part.images > -1, torch.nan, part.images), [], [])

    with pytest.raises(NonFiniteError, match="image 1 is not finite"):
        list(numbered(tmp_path / "a").draw(diverging))
    assert numbered(tmp_path / "a").file(0).is_file()


def test_the_npz_is_what_numpy_reads(tmp_path):
    file = tmp_path / "a.npz"
    assert list(write_npz(file, iter(PICTURES), (10, 6, 8), range(10))) == list(range(1, 11))
    found = np.load(file, allow_pickle=False)
    assert found["arr_0"].dtype == np.uint8
    assert np.array_equal(found["arr_0"], PICTURES)
    assert np.array_equal(found["arr_1"], np.arange(10))
    list(write_npz(file, iter(PICTURES), (10, 6, 8), None))
    assert np.load(file).files == ["arr_0"]


def test_a_stop_leaves_the_old_file(tmp_path):
    file = tmp_path / "a.npz"
    list(write_npz(file, iter(PICTURES), (10, 6, 8), None))
    before = file.read_bytes()

    def torn():
        yield PICTURES[0]
        raise DataError("torn")

    with pytest.raises(DataError):
        list(write_npz(file, torn(), (10, 6, 8), None))
    assert file.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.npz"]
    with pytest.raises(CannotWriteError):
        list(write_npz(tmp_path / "no" / "a.npz", iter(PICTURES), (10, 6, 8), None))


MEASURE = """
import json, resource, sys
from pathlib import Path
import torch
from pixelflow.generation.draw import Drawn
from pixelflow.generation.npz_export import _read, write_npz
from pixelflow.generation.numbered import NumberedImages

folder, count = Path(sys.argv[1]), int(sys.argv[2])
ramp = torch.linspace(-1, 1, 256).expand(3, 256, 256)
def drawn(indices):
    for start in range(0, len(indices), 4):
        yield Drawn(ramp.repeat(len(indices[start:start + 4]), 1, 1, 1), [], [])
def everything(count):
    for _ in NumberedImages(folder / str(count), count, {}).draw(drawn): pass
    files = map(NumberedImages(folder / str(count), count, {}).file, range(count))
    for _ in write_npz(folder / f"{count}.npz", map(_read, files), (count, 256, 256), None): pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps([everything(12), everything(count)]))
"""


def test_memory_does_not_grow_with_the_number_of_images(tmp_path):
    count = 240
    told = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path), str(count)], capture_output=True, text=True, check=True
    )
    few, many = json.loads(told.stdout)
    size = (tmp_path / f"{count}.npz").stat().st_size / 2**20
    assert size > 40
    assert many - few < 0.2 * size, f"{few:.0f} MiB for 12 images, {many:.0f} for {count} of {size:.0f} MiB"
