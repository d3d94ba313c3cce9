"""Every command that reads data says once how many pictures there are, of which sizes, and what was left out."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from pixelflow.cli.app import main
from tests.conftest import TINY, make_run, make_spec

COLOURS = ("red", "green", "blue", "white", "black", "gray")
LINE = "12 pictures in 2 classes; height x width 8 x 8 (8) and 6 x 10 (4); left out: 2 .pdf, 1 hidden"


@pytest.fixture
def pictures(tmp_path) -> Path:
    for index in range(12):
        file = tmp_path / "pictures" / f"class {index % 2}" / f"{index}.jfif"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (10, 6) if index % 3 == 0 else (8, 8), COLOURS[index % 6]).save(file, "JPEG")
    for name in ("a.pdf", "class 0/b.pdf", ".hidden"):
        (tmp_path / "pictures" / name).write_bytes(b"x")
    return tmp_path / "pictures"


def errors(capsys, *arguments) -> str:
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert not stopped.value.code, captured.err
    return captured.err


def test_training(tmp_path, pictures, capsys):
    spec = tmp_path / "tiny.yaml"
    spec.write_text(TINY)
    changes = [f"data={{type: image_folder, root: {pictures}}}", "conditioners=[class_label]", "training.steps=1"]
    told = errors(capsys, "train", spec, *changes, "--out", tmp_path / "runs", "--device", "cpu")
    assert told.count(f"data: {LINE}\n") == 1


def test_training_an_extractor(tmp_path, pictures, capsys):
    spec = tmp_path / "tiny.yaml"
    spec.write_text(TINY)
    out = tmp_path / "classifier.safetensors"
    changes = [f"data={{type: image_folder, root: {pictures}}}"]
    assert f"data: {LINE}\n" in errors(capsys, "train-extractor", spec, *changes, "--steps", 1, "--out", out)


def test_evaluating_files(tmp_path, pictures, capsys):
    told = errors(capsys, "eval", pictures, "--reference", pictures, "--out", tmp_path / "out", "--device", "cpu")
    assert f"\nimages: {LINE}\n" in told
    assert f"real images: {LINE}\n" in told


def test_evaluating_a_run(tmp_path, capsys):
    run = make_run(tmp_path / "tiny", make_spec("image.size=8", "sampling.steps=1"))
    told = errors(capsys, "eval", run, "--images", 20, "evaluation.metrics=[frechet]", "--device", "cpu")
    assert "real images: 1,797 pictures in 10 classes; height x width 8 x 8\n" in told
