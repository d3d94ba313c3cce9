"""Shards of samples in tar archives."""

from __future__ import annotations

import gzip
import json
import logging
import os
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from safetensors import safe_open
from safetensors.numpy import save

from pixelflow.core.interfaces import BadSample, Sample
from pixelflow.data import tar_index, tar_shards
from pixelflow.data.patterns import expanded
from pixelflow.data.tar_scan import scan
from pixelflow.data.tar_shards import TarShards
from pixelflow.system.errors import CannotWriteError, DataError, MissingInputError
from pixelflow.training.loader import batches
from tests.data.tars import picture, samples, write_tar


def opened(shards, **changes) -> TarShards:
    shards = [str(shard) for shard in shards] if isinstance(shards, list) else str(shards)
    return TarShards.Params(shards=shards, **changes).build(height=8, width=8, channels=3)


def read(dataset, index=0, seed=0):
    return dataset.sample(index, torch.Generator().manual_seed(seed))


def test_samples_are_read_in_any_order(tmp_path):
    for shard in range(3):
        write_tar(tmp_path / f"train-{shard:03d}.tar", samples(4, 4 * shard))
    dataset = opened(tmp_path / "train-{000..002}.tar")
    assert len(dataset) == 12
    assert dataset.classes == ("0", "1", "2")
    for index in (11, 0, 7, 4):
        sample = read(dataset, index)
        assert sample.label == index % 3
        assert sample.caption.endswith(f"wall {index}")
        assert sample.image.mean(dim=(1, 2)).argmax() == index % 3
    copied = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(read(copied, 5).image, read(dataset, 5).image)
    assert len(opened(tmp_path / "train-*.tar")) == 12
    assert len(opened([tmp_path / "train-{000,002}.tar", tmp_path / "train-002.tar"])) == 8


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_form_of_tar(tmp_path, form):
    long = "/".join(["a folder"] * 9 + ["x" * 90])
    shard = write_tar(tmp_path / "a.tar", [(f"{long}.jpg", picture(kind="JPEG")), (f"{long}.txt", b"one\ntwo")], form)
    dataset = opened(shard)
    assert {read(dataset, 0, seed).caption for seed in range(20)} == {"one", "two"}
    assert dataset.captions(0) == ["one", "two"]


def test_captions_in_json(tmp_path):
    table = {"caption": ["one", " "], "long": "a long one"}
    members = [("0.json", json.dumps(table).encode()), ("0.webp", picture(kind="WEBP")), ("0.txt", b"short")]
    shard = write_tar(tmp_path / "a.tar", members)
    assert opened(shard).captions(0) == ["short"]
    assert opened(shard, column="long").captions(0) == ["a long one"]
    assert opened(shard, column="caption").captions(0) == ["one"]
    other = opened(shard, column="nothing")
    assert other.captions(0) == []
    assert "(.json)" not in read(other).reason
    assert "has no column 'nothing' (there are: caption, long)" in read(other).reason


def test_without_captions_and_with_some_labels(tmp_path):
    shard = write_tar(tmp_path / "a.tar", [("0.png", picture()), ("0.cls", b"3"), ("1.png", picture())])
    dataset = opened(shard)
    assert dataset.classes == ()
    assert (read(dataset).label, read(dataset).caption) == (None, None)


def labelled(names, start=0):
    for index, name in enumerate(names, start):
        yield f"{index}.png", picture()
        yield f"{index}.cls", name


def test_names_in_cls_are_classes(tmp_path):
    """Over shards that hold different ones, in either spelling of Unicode; numbers among them are names too."""
    first = write_tar(tmp_path / "a.tar", labelled([b"dog\n", b"cat", "caf\u00e9".encode()]))
    second = write_tar(tmp_path / "b.tar", labelled(["cafe\u0301".encode(), b"cat"], 3))
    third = write_tar(tmp_path / "c.tar", labelled([b"7"], 5))
    for _ in range(2):  # by the index that is kept, too
        dataset = opened([first, second, third])
        assert dataset.classes == ("7", "caf\u00e9", "cat", "dog")
        assert dataset.has_names
        assert [dataset.classes[read(dataset, index).label] for index in range(6)] == [
            "dog",
            "cat",
            "caf\u00e9",
            "caf\u00e9",
            "cat",
            "7",
        ]


@pytest.mark.parametrize(
    ("label", "why"), [(b"", "it is empty"), (b"a\nb", "several lines"), (b"x" * 257, "more than 256 bytes")]
)
def test_what_is_no_label_is_named_and_none_is_used(tmp_path, caplog, label, why):
    shard = write_tar(tmp_path / "a.tar", labelled([b"cat", label, b"dog"]))
    with caplog.at_level(logging.WARNING):
        assert opened(shard).classes == ()
    assert why in caplog.text
    assert f"1 of 3 images have no label, the first: {shard}: 1; none is used" in caplog.text


def test_images_without_captions_are_refused_or_skipped(tmp_path, caplog):
    shard = write_tar(tmp_path / "a.tar", [*samples(2), ("dark/9.png", picture())])
    with pytest.raises(DataError, match=r"1 of 3 images have no caption, the first: .*a\.tar: dark/9; set data"):
        opened(shard)
    with caplog.at_level(logging.WARNING):
        assert len(opened(shard, uncaptioned="skip")) == 2
    assert "dark/9; they are skipped" in caplog.text


def test_the_index_is_made_once_and_again_after_a_change(tmp_path, monkeypatch):
    shard = write_tar(tmp_path / "a.tar", samples(3))
    scans = []
    whole = tar_index.scan
    monkeypatch.setattr(tar_index, "scan", lambda path: scans.append(path) or whole(path))
    first = opened(shard).fingerprint
    assert opened(shard).fingerprint == first
    assert scans == [shard]
    write_tar(shard, samples(5))
    os.utime(shard, ns=(1, 1))
    assert len(opened(shard)) == 5
    assert opened(shard).fingerprint != first
    assert len(scans) == 2
    (tmp_path / "a.tar.index.safetensors").write_bytes(b"damaged")
    assert len(opened(shard)) == 5
    assert len(scans) == 3
    other = write_tar(tmp_path / "deep" / "a.tar", samples(2))
    for _ in range(2):
        assert len(opened([shard, other], index=tmp_path / "new" / "indices")) == 7
    assert len(scans) == 5


def test_the_log_says_how_far_it_is(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(tar_shards, "_TOLD", 2)
    for shard in range(5):
        write_tar(tmp_path / f"{shard}.tar", samples(1))
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            opened(tmp_path / "{0..4}.tar")
    assert caplog.messages == ["looked through 2 of 5 shards, once", "looked through 4 of 5 shards, once"]


def special(name, kind, target="") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def test_hostile_members_are_counted_named_and_never_read(tmp_path, caplog):
    secret = tmp_path / "secret.png"
    secret.write_bytes(picture())
    hostile = [
        ("/etc/0.png", picture()),
        ("../1.png", picture()),
        ("a/../../2.txt", b"out"),
        (special("3.png", tarfile.SYMTYPE, str(secret)), None),
        (special("4.png", tarfile.LNKTYPE, "000000.png"), None),
        (special("5.png", tarfile.CHRTYPE), None),
        (special("6.png", tarfile.FIFOTYPE), None),
        ("7.cls", b"caf\xe9"),
        ("8.txt", b"x" * ((1 << 20) + 1)),
        ("000000.PNG", picture("green")),
        (special("folder", tarfile.DIRTYPE), None),
        ("._9.png", b"of another system"),
        ("9.py", b"raise SystemExit"),
        ("9.pyd", b"not a picture"),
        ("9.pickle", b"cos\nsystem\n(S'true'\ntR."),
    ]
    shard = write_tar(tmp_path / "a.tar", [*samples(1), *hostile])
    with caplog.at_level(logging.WARNING):
        dataset = opened(shard)
        opened(shard)
    assert len(dataset) == 1
    assert caplog.messages[0] == caplog.messages[1]
    assert "a.tar: 10 members are not read: /etc/0.png (its path leaves the archive); ../1.png" in caplog.messages[0]
    assert caplog.messages[0].endswith("and 7 more")
    refused = scan(shard).refused
    reasons = ["path leaves"] * 3 + ["a link"] * 2 + ["special file"] * 2 + ["is not UTF-8", "larger than", "several"]
    assert all(reason in said for said, reason in zip(refused, reasons, strict=True))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar", "a.tar.index.safetensors", "secret.png"]


def test_declared_sizes_beyond_the_end(tmp_path):
    huge = tarfile.TarInfo("1.png")
    huge.size = 1 << 40
    shard = write_tar(tmp_path / "a.tar", [*samples(1)])
    content = shard.read_bytes().rstrip(b"\0")
    padded = content + b"\0" * (-len(content) % 512)
    shard.write_bytes(padded + huge.tobuf(tarfile.GNU_FORMAT) + b"tiny")
    found = scan(shard)
    assert list(found.samples) == ["000000"]
    assert any("declares 1099511627776 bytes, more than the archive has" in said for said in found.refused)


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE])
def test_headers_of_gigantic_size_are_not_read_into_memory(tmp_path, kind):
    info = special("x", kind)
    info.size = 1 << 33
    shard = tmp_path / "a.tar"
    with shard.open("wb") as file:
        file.write(info.tobuf(tarfile.GNU_FORMAT))
        file.truncate(1 << 34)
    with pytest.raises(DataError, match="a header of 8589934592 bytes"):
        opened(shard)


def test_headers_that_lead_back_end_the_reading(tmp_path):
    back = tarfile.TarInfo("1.png")
    shard = write_tar(tmp_path / "a.tar", samples(1))
    header = bytearray(back.tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" * 10 + b"\xf0\x00"  # -4096 in base 256
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    content = shard.read_bytes().rstrip(b"\0")
    shard.write_bytes(content + b"\0" * (-len(content) % 512) + bytes(header) + b"\0" * 1024)
    found = scan(shard)
    assert list(found.samples) == ["000000"]
    assert found.refused


def test_a_shard_that_ends_early_is_read_as_far_as_it_goes(tmp_path, caplog):
    shard = write_tar(tmp_path / "a.tar", samples(4))
    shard.write_bytes(shard.read_bytes()[: 512 * 14])
    with caplog.at_level(logging.WARNING):
        dataset = opened(shard, uncaptioned="skip")
    assert len(dataset) == 2
    assert "whatever follows byte" in caplog.text
    assert all(isinstance(read(dataset, index), Sample) for index in range(len(dataset)))


def test_a_shard_that_changes_under_way_gives_bad_samples(tmp_path):
    shard = write_tar(tmp_path / "a.tar", samples(2))
    dataset = opened(shard)
    shard.write_bytes(b"")
    sample = read(dataset)
    assert isinstance(sample, BadSample)
    assert sample.where == f"{shard}: 000000"


def test_bad_images_and_captions_are_named(tmp_path):
    members = [("0.png", b"no image"), ("0.txt", b"x"), ("1.png", picture()), ("1.txt", b"caf\xe9")]
    dataset = opened(write_tar(tmp_path / "a.tar", members))
    assert read(dataset, 0).reason == "not an image of a known format"
    assert "its caption (.txt) is not UTF-8 text (byte 3)" in read(dataset, 1).reason


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no tar"),
        (b"this is no archive" * 100, "is no tar"),
        (gzip.compress(bytes(10240)), "or one that must be unpacked first"),
        (bytes(10240), "holds no images"),
    ],
    ids=["empty", "text", "gzip", "tar of nothing"],  # gzip holds the time: without names, workers collect other tests
)
def test_what_is_no_shard(tmp_path, content, message):
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(DataError, match=message):
        opened(tmp_path / "a.tar")


def test_shards_that_are_not_there(tmp_path):
    write_tar(tmp_path / "a-0.tar", samples(1))
    with pytest.raises(MissingInputError, match=r"a-1.tar: there is no such file"):
        opened(tmp_path / "a-{0..1}.tar")
    with pytest.raises(MissingInputError, match=r"b\*.tar: there is no such file"):
        opened(tmp_path / "b*.tar")
    with pytest.raises(MissingInputError):
        opened("pipe:touch stolen")
    assert not Path("stolen").exists()


def test_an_index_that_cannot_be_kept_says_where_it_could(tmp_path):
    shard = write_tar(tmp_path / "a.tar", samples(1))
    with pytest.raises(CannotWriteError, match=r"set data.index to a folder"):
        opened(shard, index=shard)


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a.tar", ["a.tar"]),
        ("{8..11}.tar", ["8.tar", "9.tar", "10.tar", "11.tar"]),
        ("{098..100}.tar", ["098.tar", "099.tar", "100.tar"]),
        ("{a,b}-{0..1}", ["a-0", "a-1", "b-0", "b-1"]),
        ("{only}", ["{only}"]),
        ("{0..1", ["{0..1"]),
    ],
)
def test_braces(pattern, names):
    assert expanded(pattern) == names


def test_folders_with_brackets(tmp_path):
    for number in range(2):
        write_tar(tmp_path / "set [a] of [0-9]" / f"{number}.tar", samples(1))
    assert len(opened(tmp_path / "set [a] of [0-9]" / "*.tar")) == 2
    os.mkfifo(tmp_path / "set [a] of [0-9]" / "2.tar")
    assert len(opened(tmp_path / "set [a] of [0-9]" / "*.tar")) == 2
    with pytest.raises(MissingInputError):
        opened(tmp_path / "set [a] of [0-9]" / "2.tar")


def test_names_with_more_dots_are_samples_or_further_fields(tmp_path):
    members = [
        ("IMG.2024.01.jpg", picture("red", kind="JPEG")),
        ("IMG.2024.01.TXT", b"the first"),
        ("IMG.2024.02.jpg", picture("green", kind="JPEG")),
        ("IMG.2024.02.txt", b"the second"),
        ("000017.mask.png", picture("white")),
        ("000017.png", picture("blue")),
        ("000017.txt", b"the third"),
        ("000017.notes.pdf", b"x"),
        (f"caf{chr(0xE9)}.tga", picture("blue", kind="TGA")),
        (f"cafe{chr(0x301)}.txt", b"the fourth"),
    ]
    shard = write_tar(tmp_path / "a.tar", members)
    for dataset in (opened(shard), opened(shard)):
        shown = {
            read(dataset, index).caption: int(read(dataset, index).image.mean(dim=(1, 2)).argmax())
            for index in range(4)
        }
        assert len(dataset) == 4
        assert shown == {"the first": 0, "the second": 1, "the third": 2, "the fourth": 2}
        assert dataset.left_out == {".mask.png": 1, ".pdf": 1}
        assert dataset.survey(10).sizes == {(12, 20): 4}


def test_labels_that_are_ids_become_classes(tmp_path):
    members = [(f"{n}.{kind}", content) for n, label in enumerate((b"100000000", b"5", b"7")) for kind, content in
               (("png", picture()), ("cls", label))]  # fmt: skip
    dataset = opened(write_tar(tmp_path / "a.tar", members))
    assert dataset.classes == ("5", "7", "100000000")
    assert [read(dataset, index).label for index in range(3)] == [2, 0, 1]


def test_an_index_that_names_places_outside_its_shard_is_made_anew(tmp_path):
    shard = write_tar(tmp_path / "a.tar", samples(2))
    opened(shard)
    index = tmp_path / "a.tar.index.safetensors"
    with safe_open(index, framework="numpy") as file:
        told, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    tensors["images"] = np.array([[512, 1 << 50], [-5, 10]], np.int64)
    index.write_bytes(save(tensors, metadata=told))
    assert all(isinstance(read(opened(shard), place), Sample) for place in range(2))


@pytest.mark.parametrize("shards", ["{0..9999999999}.tar", "{3..1}.tar", [], "{0..9999}{0..9999}"])
def test_patterns_of_too_many_or_no_shards(shards):
    with pytest.raises(ValidationError, match=r"stands for|names no files"):
        TarShards.Params(shards=shards)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_damage_crashes_the_reading(tmp_path_factory, data):
    shard = write_tar(tmp_path_factory.mktemp("fuzz") / "a.tar", samples(2))
    content = bytearray(shard.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    shard.write_bytes(bytes(content)[: data.draw(st.integers(0, len(content)))])
    try:
        dataset = opened(shard, uncaptioned="skip")
    except DataError:
        return
    for index in range(len(dataset)):
        assert isinstance(read(dataset, index), (Sample, BadSample))
        assert isinstance(dataset.captions(index), list)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_order_goes_on_in_the_middle_of_an_epoch(tmp_path, workers):
    for shard in range(2):
        write_tar(tmp_path / f"{shard}.tar", samples(7, 7 * shard))
    settings = {"batch_size": 4, "seed": 1, "bad_images": 0}
    dataset = opened(tmp_path / "{0..1}.tar")
    stream = batches(dataset, workers=0, first_step=0, **settings)
    whole = [next(stream).values["caption"] for _ in range(7)]
    later = batches(opened(tmp_path / "{0..1}.tar"), workers=workers, first_step=2, **settings)
    assert [next(later).values["caption"] for _ in range(5)] == whole[2:]
    assert sorted({caption for batch in whole[:3] for caption in batch}) != whole[0]
