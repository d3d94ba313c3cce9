"""``pixelflow sample --npz``: what evaluators read, drawn as ever, gone on with after a stop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pixelflow
from pixelflow.cli.app import main
from pixelflow.generation.pictures import to_uint8
from pixelflow.system.files import locked
from tests.conftest import make_run, make_spec


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = make_spec("image.size=8", "sampling.steps=1", "sampling.batch_size=4")
    return make_run(tmp_path_factory.mktemp("runs") / "tiny", spec)


def sample(*arguments: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main(["sample", *map(str, arguments)])
    return int(caught.value.code or 0)


def test_all_images_with_their_labels(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    assert sample(run, "--count", 12, "--seed", 5, "--npz", tmp_path / "drawn.npz") == 0
    assert "12 images" in capsys.readouterr().out
    found = np.load(tmp_path / "drawn.npz", allow_pickle=False)
    expected = to_uint8(pixelflow.load(run).sample(labels=[index % 10 for index in range(12)], seed=5)).numpy()
    assert found["arr_0"].shape == (12, 8, 8, 3)
    assert np.abs(found["arr_0"].astype(int) - expected).max() <= 1
    assert found["arr_1"].tolist() == [index % 10 for index in range(12)]
    assert found["classes"].tolist() == [f"class {index}" for index in range(10)]
    assert len(list((tmp_path / "drawn").glob("*.png"))) == 12


def test_a_stopped_export_goes_on(run: Path, tmp_path: Path):
    file = tmp_path / "drawn.npz"
    assert sample(run, "--count", 12, "--npz", file) == 0
    before = np.load(file)["arr_0"]
    pictures = sorted((tmp_path / "drawn").glob("*.png"))
    kept = {picture: picture.stat().st_mtime_ns for picture in pictures[:7]}
    for gone in (file, *pictures[7:]):
        gone.unlink()
    assert sample(run, "--count", 12, "--npz", file) == 0
    assert {picture: picture.stat().st_mtime_ns for picture in kept} == kept
    assert np.abs(np.load(file)["arr_0"].astype(int) - before).max() <= 1


def test_an_npz_of_anything_else_is_not_replaced(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    file = tmp_path / "real.npz"
    np.savez(file, np.zeros((4, 8, 8, 3), np.uint8))
    before = file.read_bytes()
    assert sample(run, "--count", 4, "--npz", file) == 73
    assert "real.npz: is there already, and nothing is replaced; choose another --npz" in capsys.readouterr().err
    assert file.read_bytes() == before
    assert not (tmp_path / "real").exists(), "known before an image is drawn"
    assert sample(run, "--count", 4, "--npz", tmp_path / "drawn.npz") == 0
    assert sample(run, "--count", 4, "--npz", tmp_path / "drawn.npz") == 0, "its own it writes again"


def test_a_second_process_says_that_the_first_is_at_work(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    (tmp_path / "drawn").mkdir()
    (tmp_path / "drawn" / ".000000.png.1.part").touch()
    with locked(tmp_path / "drawn", ""):
        assert sample(run, "--count", 4, "--npz", tmp_path / "drawn.npz") == 2
    assert "drawn: another process draws into this folder" in capsys.readouterr().err
    assert sample(run, "--count", 4, "--npz", tmp_path / "drawn.npz") == 0


def test_mistakes(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    assert sample(run, "--count", 4, "--npz", tmp_path / "drawn.npy") == 2
    assert "must end in .npz" in capsys.readouterr().err
    assert sample(run, "--count", 4, "--npz", tmp_path / "drawn.npz") == 0
    assert sample(run, "--count", 4, "--seed", 1, "--npz", tmp_path / "drawn.npz") == 73
    assert "another recipe" in capsys.readouterr().err


def test_a_picture_that_is_damaged_is_drawn_again_to_the_same_bytes(run: Path, tmp_path: Path):
    assert sample(run, "--count", 4, "--npz", tmp_path / "drawn.npz") == 0
    files = sorted((tmp_path / "drawn").glob("*.png"))
    before = [file.read_bytes() for file in files]
    npz = (tmp_path / "drawn.npz").read_bytes()
    files[1].write_bytes(b"torn")
    files[2].write_bytes(before[2][:-9])
    assert sample(run, "--count", 4, "--npz", tmp_path / "drawn.npz") == 0
    assert [file.read_bytes() for file in files] == before
    assert (tmp_path / "drawn.npz").read_bytes() == npz
