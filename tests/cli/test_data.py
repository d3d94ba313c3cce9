"""``pixelflow data``: what training is given, shown and told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixelflow.cli.app import main
from tests.conftest import TINY

CAPTIONED = TINY.replace("channels: 1", "channels: 3").replace(
    "conditioners: [{type: class_label, classes: 10}]", "conditioners: []"
)


def call(capsys, *arguments) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main(["data", *map(str, arguments)])
    captured = capsys.readouterr()
    return int(stopped.value.code or 0), captured.out, captured.err


@pytest.fixture
def spec(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for index in range(10):
        Path("pictures").mkdir(exist_ok=True)
        Image.new("RGB", (20, 20 + index % 2 * 8), "red").save(f"pictures/{index}.png")
        Path(f"pictures/{index}.txt").write_text("red\n" + "very " * index + "red")
    Path("tiny.yaml").write_text(CAPTIONED)
    return Path("tiny.yaml")


def test_captioned_pictures(spec, capsys):
    Path("pictures/bad.png").write_bytes(b"no picture")
    Path("pictures/bad.txt").write_text("a caption of nothing")
    Path("pictures/notes.pdf").write_bytes(b"x")
    changes = ["data={type: captioned_folder, root: pictures}"]
    code, out, _ = call(capsys, spec, *changes, "--count", 4)
    lines = out.splitlines()
    assert code == 0
    assert lines[0] == (
        "data: 11 pictures; height x width 20 x 20 (5) and 28 x 20 (5), 1 cannot be read; left out: 1 .pdf"
    )
    assert lines[1] == "captions: 1.82 a picture; the longest has 48 letters, 48 bytes: " + "very " * 9 + "red"
    assert lines[2] == "unreadable: 1: pictures/bad.png (not an image of a known format)"
    assert lines[3].endswith("(--count shows more): tiny-data.png")
    sheet = np.asarray(Image.open("tiny-data.png"))
    assert sheet.shape[1] == 2 * 134 + 6
    assert (sheet[40, 40] == (254, 0, 0)).all() or (sheet[40, 40] == (255, 0, 0)).all()


def test_it_shows_what_the_first_epoch_trains_on(spec, capsys):
    """The same crops and captions: picture for picture."""
    import torch

    from pixelflow.cli.arguments import read_spec
    from pixelflow.core import seeds
    from pixelflow.core.assembly import build_dataset
    from pixelflow.training.loader import batches
    from pixelflow.training.looking import look

    read = read_spec(spec, ["data={type: captioned_folder, root: pictures}"])
    dataset = build_dataset(read)
    seen = look(read, dataset, 10, 10)
    stream = batches(dataset, batch_size=10, seed=read.seed, workers=0, first_step=0, bad_images=0)
    batch = next(stream)
    order = torch.randperm(10, generator=seeds.generator(read.seed, "order", 0)).tolist()
    trained = dict(zip(order, batch.values["caption"], strict=True))
    assert sorted(seen.titles) == sorted(trained.values())


def test_a_few_of_many(spec, capsys):
    code, out, _ = call(capsys, spec, "data=digits", "image.channels=1", "--look", 50, "--out", "sub/seen.png")
    assert code == 0
    assert out.splitlines()[0] == "data: 1,797 pictures in 10 classes; height x width 8 x 8"
    assert out.splitlines()[1].startswith("classes of the 50 looked at: ")
    assert Path("sub/seen.png").is_file()


def test_data_without_a_readable_picture(spec, capsys):
    for file in Path("pictures").glob("*.png"):
        file.write_bytes(b"")
    code, _, err = call(capsys, spec, "data={type: captioned_folder, root: pictures}")
    assert code == 65
    assert "none of the 10 pictures looked at can be read; unreadable: 10: pictures/" in err


def test_pictures_that_are_there_stay(spec, capsys):
    """Also those of the command itself: the second is another file, and a name that is given must be free."""
    change = "data={type: captioned_folder, root: pictures}"
    assert [call(capsys, spec, change)[1].split()[-1] for _ in range(2)] == ["tiny-data.png", "tiny-data-2.png"]
    own = Path("own.png")
    own.write_bytes(b"mine")
    code, _, err = call(capsys, spec, change, "--out", own)
    assert code == 73
    assert "own.png: is there already, and nothing is replaced; choose another --out" in err
    assert own.read_bytes() == b"mine"
