"""Folders of captioned images, written as users write them."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pixelflow.core.interfaces import BadSample, Sample
from pixelflow.data.captioned_folder import CaptionedFolder
from pixelflow.system.errors import DataError


def picture(path, colour="red"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 12), colour).save(path)


def opened(root, **changes) -> CaptionedFolder:
    return CaptionedFolder.Params(root=root, **changes).build(height=8, width=8, channels=3)


def captions(dataset, draws=20):
    """All captions that each image shows in some draws."""
    found = []
    for index in range(len(dataset)):
        samples = [dataset.sample(index, torch.Generator().manual_seed(seed)) for seed in range(draws)]
        found.append({sample.caption for sample in samples})
    return found


def test_text_files_hold_one_caption_a_line(tmp_path):
    for name in ("a.png", "deep/b.JPG"):
        picture(tmp_path / name)
    (tmp_path / "a.txt").write_bytes("\ufeffa red wall\r\n\r\n  ein roter Würfel \r\n".encode())
    (tmp_path / "deep" / "b.txt").write_text("another wall")
    dataset = opened(tmp_path)
    assert captions(dataset) == [{"a red wall", "ein roter Würfel"}, {"another wall"}]
    assert dataset.sample(0, torch.Generator()).image.shape == (3, 8, 8)
    assert captions(pickle.loads(pickle.dumps(dataset))) == captions(dataset)


def test_only_line_ends_end_a_caption(tmp_path):
    """Not what Unicode takes for one: form feeds, line separators, next lines."""
    picture(tmp_path / "a.png")
    (tmp_path / "a.txt").write_bytes("one\u2028still one\x0cstill\u0085one\rtwo\r\nthree\n".encode())
    assert captions(opened(tmp_path)) == [{"one\u2028still one\x0cstill\u0085one", "two", "three"}]


def test_images_that_share_a_text_file_are_told(tmp_path, caplog):
    for name in ("a.jpg", "a.png", "b.png", "deep/a.png", "c.jpg", "c.png"):
        picture(tmp_path / name)
        (tmp_path / name).with_suffix(".txt").write_text("a wall")
    (tmp_path / "metadata.jsonl").write_text(json.dumps({"file_name": "c.jpg", "text": "from the table"}))
    opened(tmp_path)
    (record,) = caplog.records
    assert "2 images have their captions in a text file with others of the same name" in record.message
    assert record.message.endswith("a.jpg and a.png")


@pytest.mark.parametrize("column", ["text", "caption", "prompt"])
def test_json_lines(tmp_path, column):
    for name in ("a.png", "train/b.png", "train/c.png"):
        picture(tmp_path / name)
    (tmp_path / "metadata.jsonl").write_text(json.dumps({"file_name": "a.png", column: "one"}) + "\n\n")
    rows = [
        {"file_name": "b.png", "captions": ["two", "three", " "]},
        {"file_name": "./c.png", "captions": "four"},
        {"file_name": "c.png", "captions": "five"},
    ]
    (tmp_path / "train" / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert captions(opened(tmp_path)) == [{"one"}, {"two", "three"}, {"four", "five"}]


def test_csv_and_a_column_of_choice(tmp_path):
    picture(tmp_path / "a, b.png")
    (tmp_path / "metadata.csv").write_text('file_name,text,long\n"a, b.png",short,"it says ""hello"",\nin two lines"\n')
    assert captions(opened(tmp_path)) == [{"short"}]
    assert captions(opened(tmp_path, column="long")) == [{'it says "hello",\nin two lines'}]


def test_a_table_and_text_files_go_together_with_classes(tmp_path):
    picture(tmp_path / "cats" / "a.png")
    picture(tmp_path / "dogs" / "b.png")
    (tmp_path / "metadata.jsonl").write_text(json.dumps({"file_name": "cats/a.png", "text": "from the table"}))
    (tmp_path / "dogs" / "b.txt").write_text("from the file")
    dataset = opened(tmp_path, labels="folder")
    assert captions(dataset) == [{"from the table"}, {"from the file"}]
    assert dataset.classes == ("cats", "dogs")
    assert dataset.sample(1, torch.Generator()).label == 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"caf\xe9", "is not UTF-8 text (byte 3)"),
        (b" \n\n", "is empty"),
        (b"x" * (1 << 20) + b"x", "is larger than"),
    ],
)
def test_unreadable_captions_count_as_unreadable_images(tmp_path, content, reason):
    picture(tmp_path / "a.png")
    (tmp_path / "a.txt").write_bytes(content)
    sample = opened(tmp_path).sample(0, torch.Generator())
    assert isinstance(sample, BadSample)
    assert sample.where == str(tmp_path / "a.png")
    assert reason in sample.reason
    assert "a.txt" in sample.reason


def test_a_folder_in_place_of_a_caption(tmp_path):
    picture(tmp_path / "a.png")
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(DataError, match="1 of 1 images have no caption"):
        opened(tmp_path)


def test_a_pipe_in_place_of_a_caption_is_not_opened(tmp_path):
    picture(tmp_path / "a.png")
    os.mkfifo(tmp_path / "a.txt")
    assert "no plain file" in opened(tmp_path).sample(0, torch.Generator()).reason
    os.mkfifo(tmp_path / "metadata.jsonl")
    with pytest.raises(DataError, match="is no plain file"):
        opened(tmp_path)


def test_half_a_surrogate_pair_is_no_text(tmp_path):
    picture(tmp_path / "a.png")
    (tmp_path / "metadata.jsonl").write_text(json.dumps({"file_name": "a.png", "text": "half \ud83d"}))
    dataset = opened(tmp_path)
    assert "not valid Unicode" in dataset.sample(0, torch.Generator()).reason
    assert dataset.captions(0) == []


def test_all_captions_are_listed_without_reading_the_image(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no image")
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    assert opened(tmp_path).captions(0) == ["one", "two"]


def test_empty_captions_of_a_table(tmp_path):
    picture(tmp_path / "a.png")
    (tmp_path / "metadata.jsonl").write_text(json.dumps({"file_name": "a.png", "text": ""}))
    assert "its caption in the table is empty" in opened(tmp_path).sample(0, torch.Generator()).reason


def test_an_unreadable_image_is_still_one(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no image")
    (tmp_path / "a.txt").write_text("a caption")
    assert isinstance(opened(tmp_path).sample(0, torch.Generator()), BadSample)


def test_images_without_captions_are_refused_or_skipped(tmp_path, caplog):
    for name in ("a.png", "b.png", "c.png"):
        picture(tmp_path / name)
    (tmp_path / "b.txt").write_text("the only one")
    with pytest.raises(DataError, match=r"2 of 3 images have no caption, the first: a\.png; write a\.txt beside it"):
        opened(tmp_path)
    dataset = opened(tmp_path, uncaptioned="skip")
    assert captions(dataset) == [{"the only one"}]
    assert "2 of 3 images have no caption, the first: a.png; they are skipped" in caplog.text
    (tmp_path / "b.txt").unlink()
    with pytest.raises(DataError, match="3 of 3"):
        opened(tmp_path, uncaptioned="skip")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("metadata.jsonl", b"{", r"metadata\.jsonl:1: is not a JSON object"),
        ("metadata.jsonl", b'\n[1]', r"metadata\.jsonl:2: is not a JSON object"),
        ("metadata.jsonl", b'{"text": "x"}', r"metadata\.jsonl:1: has no 'file_name'"),
        ("metadata.jsonl", b'{"file_name": "a.png", "label": 1}', r"no column any of text.*label\); set data"),
        ("metadata.jsonl", b'{"file_name": "a.png", "text": 3}', r"'text' must be text or a list of texts"),
        ("metadata.jsonl", b'{"file_name": "b.png", "text": "x"}', r"names 'b\.png', and no such image"),
        ("metadata.jsonl", b'{"file_name": "../../etc/passwd", "text": "x"}', r"no such image"),
        ("metadata.jsonl", b'{"file_name": "/etc/passwd", "text": "x"}', r"no such image"),
        ("metadata.jsonl", b'{"file_name": "a.png", "text": "\xff"}', r"is not UTF-8 text \(byte 32\)"),
        ("metadata.csv", b"file_name,text\na.png,x,y\n", r"metadata\.csv:2: has another number of fields"),
        ("metadata.csv", b"file_name,text\na.png\n", r"another number of fields"),
        ("metadata.csv", b'file_name,text\na.png,"x\n', r"is not CSV"),
        ("metadata.csv", b"image,text\na.png,x\n", r"has no 'file_name'"),
    ],
)  # fmt: skip
def test_broken_tables_are_named_with_their_line(tmp_path, name, content, message):
    picture(tmp_path / "a.png")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        opened(tmp_path)


def test_a_column_that_is_not_there(tmp_path):
    picture(tmp_path / "a.png")
    (tmp_path / "metadata.csv").write_text("file_name,text\na.png,x\n")
    with pytest.raises(DataError, match=r"no column 'words' \(there are: file_name, text\)"):
        opened(tmp_path, column="words")


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(["metadata.jsonl", "metadata.csv", "a.txt"]))
def test_no_bytes_crash_the_reading(tmp_path_factory, content, name):
    root = tmp_path_factory.mktemp("fuzz")
    picture(root / "a.png")
    (root / name).write_bytes(content)
    try:
        sample = opened(root).sample(0, torch.Generator())
    except DataError:
        return
    assert isinstance(sample, (Sample, BadSample))


def test_plain_reads_without_augmentation():
    params = CaptionedFolder.Params(root="x", flip=True).plain()
    assert (params.resize, params.crop, params.flip) == (1.0, "center", False)


NFC, NFD = "caf\u00e9", "cafe\u0301"


def test_names_of_either_spelling_meet(tmp_path):
    """File systems choose one of Unicode's two spellings, and tables are written on others."""
    picture(tmp_path / f"{NFC}.png")
    (tmp_path / f"{NFD}.txt").write_text("beside")
    picture(tmp_path / "deep" / f"{NFD}2.png")
    (tmp_path / "metadata.jsonl").write_text(json.dumps({"file_name": f"deep/{NFC}2.png", "text": "in the table"}))
    assert captions(opened(tmp_path)) == [{"beside"}, {"in the table"}]


def test_a_name_in_both_spellings_has_its_own_caption(tmp_path):
    for name in (NFC, NFD):
        picture(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.txt").write_text(f"a caption of {len(name)} letters")
    dataset = opened(tmp_path)
    assert captions(dataset) == [{f"a caption of {len(Path(file).stem)} letters"} for file in dataset._images.files]


def test_text_files_in_capitals(tmp_path):
    for name in ("a.PNG", "b.png", "c.png"):
        picture(tmp_path / name)
    for name in ("a.TXT", "b.Txt", "c.txt", "c.TXT"):
        (tmp_path / name).write_text(f"in {name}")
    dataset = opened(tmp_path)
    assert captions(dataset) == [{"in a.TXT"}, {"in b.Txt"}, {"in c.txt"}]
    assert dataset.left_out == {"text without a picture": 1}


def test_names_that_are_no_utf8_have_captions(tmp_path):
    odd = os.fsdecode(b"\xe9t\xe9")
    picture(tmp_path / f"{odd}.png")
    (tmp_path / f"{odd}.txt").write_text("summer")
    (tmp_path / "lonely.txt").write_text("no picture")
    dataset = opened(tmp_path)
    assert captions(dataset) == [{"summer"}]
    assert dataset.left_out == {"text without a picture": 1}
    (tmp_path / f"{odd}.txt").write_bytes(b"\xff")
    assert dataset.sample(0, torch.Generator()).where.endswith(r"\xe9t\xe9.png")


def test_rows_of_tables_are_bounded_and_named_by_their_first_line(tmp_path):
    picture(tmp_path / "a.png")
    cell = "x" * 200_000
    (tmp_path / "metadata.csv").write_text(f'file_name,text\na.png,short\na.png,"{cell}\n{cell}"\n')
    assert captions(opened(tmp_path), 40) == [{"short", f"{cell}\n{cell}"}]
    (tmp_path / "metadata.csv").write_text("file_name,text\na.png,short\na.png," + "x" * (1 << 21) + "\n")
    with pytest.raises(DataError, match=r"metadata\.csv:3: is longer than"):
        opened(tmp_path)
    (tmp_path / "metadata.csv").write_text('file_name,text\na.png,short\na.png,"' + "x\n" * (1 << 20) + '"\n')
    with pytest.raises(DataError, match=r"metadata\.csv:3: is not CSV \(field larger"):
        opened(tmp_path)
    (tmp_path / "metadata.csv").unlink()
    (tmp_path / "metadata.jsonl").symlink_to("/dev/zero")
    with pytest.raises(DataError, match="is no plain file"):
        opened(tmp_path)
