"""Parquet files and Hugging Face data sets on disk, written by their own libraries."""

from __future__ import annotations

import json
import logging
import os
import pickle
import sys
from pathlib import Path

import pytest
import torch

from pixelflow.core.interfaces import BadSample, Sample
from pixelflow.data import parquet as parquet_module
from pixelflow.data import rows as rows_module
from pixelflow.data.hf_dataset import HfDataset
from pixelflow.data.parquet import Parquet
from pixelflow.system.errors import DataError, MissingDependencyError, MissingInputError
from pixelflow.training.loader import batches
from tests.data.tars import picture

pa = pytest.importorskip("pyarrow")
datasets = pytest.importorskip("datasets")
COLOURS = ("red", "green", "blue")


def rows(count=9):
    return {
        "image": [{"bytes": picture(COLOURS[n % 3]), "path": None} for n in range(count)],
        "text": [f"a {COLOURS[n % 3]} wall {n}" for n in range(count)],
        "label": [n % 3 for n in range(count)],
    }


def saved(content, features=None) -> datasets.Dataset:
    return datasets.Dataset.from_dict(content, features=features)


FEATURES = {
    "image": datasets.Image(),
    "text": datasets.Value("string"),
    "label": datasets.ClassLabel(names=list(COLOURS)),
}


@pytest.fixture(params=["hf_dataset", "parquet"])
def opened(request, tmp_path):
    """A data set of either kind, from columns of cells."""

    def make(content, features=None, **changes):
        table = saved(content, features and datasets.Features(features))
        if request.param == "hf_dataset":
            table.save_to_disk(tmp_path / "saved")
            params = HfDataset.Params(path=tmp_path / "saved", **changes)
        else:
            table.to_parquet(tmp_path / "a.parquet", batch_size=4)
            params = Parquet.Params(files=str(tmp_path / "a.parquet"), **changes)
        return params.build(height=8, width=8, channels=3)

    return make


def read(dataset, index=0, seed=0):
    return dataset.sample(index, torch.Generator().manual_seed(seed))


def test_rows_are_read_in_any_order(opened):
    dataset = opened(rows(), FEATURES)
    assert len(dataset) == 9
    assert dataset.classes == COLOURS
    for index in (8, 0, 5, 3, 4):
        sample = read(dataset, index)
        assert (sample.label, sample.caption) == (index % 3, f"a {COLOURS[index % 3]} wall {index}")
        assert sample.image.mean(dim=(1, 2)).argmax() == index % 3
        assert dataset.captions(index) == [sample.caption]
    copied = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(read(copied, 7).image, read(dataset, 7).image)
    assert copied.fingerprint == dataset.fingerprint


def test_columns_of_other_names_and_lists_of_captions(opened):
    content = {"pic": [picture()] * 2, "words": [["one", "two", ""], ["three"]], "kind": ["dog", "cat"]}
    dataset = opened(content, image="pic", column="words", label="kind")
    assert {read(dataset, 0, seed).caption for seed in range(20)} == {"one", "two"}
    assert dataset.captions(1) == ["three"]
    assert dataset.classes == ("cat", "dog")
    assert [read(dataset, index).label for index in (0, 1)] == [1, 0]
    assert dataset.has_names


def test_names_that_are_numbers_sort_as_numbers(opened):
    dataset = opened({"image": [picture()] * 3, "label": ["10", "2", "0"]})
    assert dataset.classes == ("0", "2", "10")
    assert [read(dataset, index).label for index in range(3)] == [2, 1, 0]


NFC, NFD = "caf\u00e9", "cafe\u0301"


def test_names_of_either_spelling_are_one_class(opened):
    dataset = opened({"image": [picture()] * 3, "label": [NFD, "tea", NFC]})
    assert dataset.classes == (NFC, "tea")
    assert [read(dataset, index).label for index in range(3)] == [0, 1, 0]


@pytest.mark.parametrize(("written", "there"), [(NFC, NFD), (NFD, NFC)])
def test_paths_of_either_spelling_meet(opened, written, there):
    dataset = opened({"image": [f"{written}.png"]})
    (Path(dataset._table.root) / f"{there}.png").write_bytes(picture("green"))
    assert read(dataset, 0).image.mean(dim=(1, 2)).argmax() == 1


def test_numbers_are_labels_without_names(opened):
    dataset = opened({"image": [picture()] * 3, "label": [0, 4, None]})
    assert (dataset.classes, dataset.has_names) == (("0", "1", "2", "3", "4"), False)
    assert (read(dataset, 1).label, read(dataset, 1).caption) == (4, None)
    assert "its label None is none of the 5 classes" in read(dataset, 2).reason
    assert dataset.captions(0) == []


def test_labels_can_be_left_out(opened):
    dataset = opened({"image": [picture()], "label": [0.5]}, labels="none")
    assert dataset.classes == ()
    assert read(dataset).label is None


def test_images_as_paths(opened, tmp_path):
    content = {"image": ["sub/there.png", "gone.png", "pipe.png", None, "/dev/zero", str(tmp_path / "out.png"), "../x"]}
    dataset = opened(content)
    root = Path(dataset._table.root)
    (root / "sub").mkdir()
    (root / "sub" / "there.png").write_bytes(picture("green"))
    (tmp_path.parent / "out.png").write_bytes(picture("green"))
    os.mkfifo(root / "pipe.png")
    assert read(dataset, 0).image.mean(dim=(1, 2)).argmax() == 1
    assert read(dataset, 1).reason.endswith("gone.png is no file")
    assert read(dataset, 2).reason.endswith("pipe.png is no file")
    assert "holds no image" in read(dataset, 3).reason


def test_paths_that_lead_out_of_the_table_are_not_read(opened, tmp_path):
    outside = tmp_path.parent / "outside.png"
    outside.write_bytes(picture())
    up = "../" * 30
    content = {
        "image": [str(outside), f"{up}{outside}", "../outside.png", "../../outside.png", "sub/../../../outside.png"]
    }
    dataset = opened(content)
    for index in range(len(dataset)):
        assert "leads out of" in read(dataset, index).reason or "is no file" in read(dataset, index).reason
    assert "leads out of" in read(dataset, 0).reason
    assert "leads out of" in read(dataset, 1).reason
    assert "leads out of" in read(dataset, 4).reason


def test_numbers_that_are_ids_become_classes_by_their_order(opened):
    dataset = opened({"image": [picture()] * 4, "label": [100_000_000, 7, 9_999_999_999, 7]})
    assert dataset.classes == ("7", "100000000", "9999999999")
    assert [read(dataset, index).label for index in range(4)] == [1, 0, 2, 0]


def test_a_number_for_every_row_is_no_class(opened, monkeypatch):
    monkeypatch.setattr(rows_module, "MOST_IDS", 3)
    with pytest.raises(DataError, match=r"more than 3 different values: they are no classes; set data\.labels to none"):
        opened({"image": [picture()] * 4, "label": ["a", "b", "c", "d"]})


def test_bad_cells_are_named(opened):
    content = {"image": [b"no image", picture(), picture()], "text": ["x", " ", None]}
    dataset = opened(content)
    assert read(dataset, 0).where.endswith(": row 0")
    assert read(dataset, 0).reason == "not an image of a known format"
    for index in (1, 2):
        assert read(dataset, index).reason == "its caption in column 'text' is empty"
        assert dataset.captions(index) == []


@pytest.mark.parametrize(
    ("content", "changes", "message"),
    [
        ({"text": ["x"]}, {}, r"lacks an image column \(there are: text\); set data.image"),
        ({"image": [b"x"]}, {"image": "pic"}, r"lacks a column 'pic' \(there are: image\); set data.image"),
        ({"image": [b"x"]}, {"column": "words"}, r"has no column 'words' \(there are: image\); set data.column"),
        ({"image": [b"x"]}, {"label": "kind"}, r"lacks a column 'kind' \(there are: image\); set data.label"),
        ({"image": [b"x"], "label": [0.5]}, {}, "the labels in 'label' are neither names nor numbers"),
        ({"image": [b"x"], "label": [-3]}, {}, "set data.labels to none"),
        ({"image": []}, {}, "holds no rows|is no data set"),  # which `datasets` itself cannot load
    ],
)
def test_tables_that_do_not_fit_are_said_in_one_line(opened, content, changes, message):
    with pytest.raises(DataError, match=message) as caught:
        opened(content, **changes)
    assert "\n" not in str(caught.value)


def test_splits_are_chosen(tmp_path):
    table = datasets.DatasetDict({"train": saved(rows(3)), "test": saved(rows(2))})
    table.save_to_disk(tmp_path / "saved")
    with pytest.raises(DataError, match=r"holds the splits train, test; set data\.split"):
        HfDataset.Params(path=tmp_path / "saved").build(height=8, width=8, channels=3)
    assert len(HfDataset.Params(path=tmp_path / "saved", split="test").build(height=8, width=8, channels=3)) == 2
    saved(rows(3)).save_to_disk(tmp_path / "one")
    with pytest.raises(DataError, match=r"leave data.split out"):
        HfDataset.Params(path=tmp_path / "one", split="test").build(height=8, width=8, channels=3)


def test_selected_rows_are_the_saved_ones(tmp_path):
    saved(rows()).select([7, 2]).save_to_disk(tmp_path / "saved")
    dataset = HfDataset.Params(path=tmp_path / "saved").build(height=8, width=8, channels=3)
    assert [dataset.captions(index) for index in (0, 1)] == [["a green wall 7"], ["a blue wall 2"]]


def test_what_is_no_saved_data_set(tmp_path):
    with pytest.raises(MissingInputError, match=r"set data.path"):
        HfDataset.Params(path=tmp_path / "nowhere").build(height=8, width=8, channels=3)
    (tmp_path / "script.py").write_text("raise SystemExit('it was run')")
    with pytest.raises(DataError, match="is no data set that save_to_disk wrote"):
        HfDataset.Params(path=tmp_path).build(height=8, width=8, channels=3)
    saved(rows(2)).save_to_disk(tmp_path / "saved")
    for damage in ("{", json.dumps({"_data_files": [{"filename": "gone.arrow"}]})):
        (tmp_path / "saved" / "state.json").write_text(damage)
        with pytest.raises(DataError, match="is no data set that save_to_disk wrote") as caught:
            HfDataset.Params(path=tmp_path / "saved").build(height=8, width=8, channels=3)
        assert "\n" not in str(caught.value)


def test_rows_that_are_a_pipe_are_not_waited_for(tmp_path):
    saved(rows(2)).save_to_disk(tmp_path / "saved")
    (file,) = (tmp_path / "saved").glob("*.arrow")
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(DataError, match=r"\.arrow: is a pipe or a socket, not a file"):
        HfDataset.Params(path=tmp_path / "saved").build(height=8, width=8, channels=3)


def test_a_saved_data_set_reads_no_files_elsewhere(tmp_path):
    table = datasets.DatasetDict({"train": saved(rows(3))})
    table.save_to_disk(tmp_path / "saved")
    saved(rows(2)).save_to_disk(tmp_path / "other")
    (other,) = (tmp_path / "other").glob("*.arrow")
    state = tmp_path / "saved" / "train" / "state.json"
    told = json.loads(state.read_text())
    for elsewhere in (str(other), f"../../other/{other.name}", "../x.arrow"):
        state.write_text(json.dumps({**told, "_data_files": [{"filename": elsewhere}]}))
        with pytest.raises(DataError, match=r"state\.json: names '.*', which lies elsewhere"):
            HfDataset.Params(path=tmp_path / "saved", split="train").build(height=8, width=8, channels=3)
    state.write_text(json.dumps(told))
    (tmp_path / "saved" / "dataset_dict.json").write_text(json.dumps({"splits": ["../other"]}))
    with pytest.raises(DataError, match=r"names '\.\./other', which lies elsewhere"):
        HfDataset.Params(path=tmp_path / "saved", split="../other").build(height=8, width=8, channels=3)


def test_several_parquet_files(tmp_path, caplog, monkeypatch):
    for shard in range(3):
        saved(rows(5)).to_parquet(tmp_path / f"train-{shard:05d}-of-00003.parquet", batch_size=2)
    params = Parquet.Params(files=str(tmp_path / "train-{00000..00002}-of-00003.parquet"))
    dataset = params.build(height=8, width=8, channels=3)
    assert len(dataset) == 15
    assert [dataset.captions(index) for index in (4, 5, 14)] == [
        ["a green wall 4"],
        ["a red wall 0"],
        ["a green wall 4"],
    ]
    assert not caplog.records
    monkeypatch.setattr(parquet_module, "_LARGE_GROUP", 10)
    with caplog.at_level(logging.WARNING):
        params.build(height=8, width=8, channels=3)
    assert "write it anew with groups of 100 rows" in caplog.text
    saved({"image": [picture()]}).to_parquet(tmp_path / "train-x.parquet")
    with pytest.raises(DataError, match="has other columns than"):
        Parquet.Params(files=str(tmp_path / "train-*.parquet")).build(height=8, width=8, channels=3)


def test_in_their_order_rows_take_one_reading_a_group(tmp_path, monkeypatch):
    import pyarrow.parquet

    saved(rows(9)).to_parquet(tmp_path / "a.parquet", batch_size=4)
    dataset = Parquet.Params(files=str(tmp_path / "a.parquet")).build(height=8, width=8, channels=3)
    groups: list[int] = []
    batches_of = pyarrow.parquet.ParquetFile.iter_batches

    def counted(file, **settings):
        groups.extend(settings["row_groups"])
        return batches_of(file, **settings)

    monkeypatch.setattr(pyarrow.parquet.ParquetFile, "iter_batches", counted)
    for index in range(9):
        assert isinstance(read(dataset, index), Sample)
    assert groups == [0, 1, 2]
    for index in range(9):  # an image and a caption in turns
        read(dataset, index)
        dataset.captions(index)
    assert groups[3:] == [0, 0, 1, 1, 2, 2]


def test_what_is_no_parquet_file(tmp_path):
    with pytest.raises(MissingInputError, match=r"set data.files"):
        Parquet.Params(files="nowhere.parquet").build(height=8, width=8, channels=3)
    for content in (b"", b"PAR1", b"x" * 1000):
        (tmp_path / "a.parquet").write_bytes(content)
        with pytest.raises(DataError, match="is no Parquet file that can be read") as caught:
            Parquet.Params(files=str(tmp_path / "a.parquet")).build(height=8, width=8, channels=3)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("module", "cls"), [("pyarrow.parquet", Parquet), ("datasets", HfDataset)])
def test_a_missing_package_is_named(tmp_path, monkeypatch, module, cls):
    monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / "a.parquet").write_bytes(b"")
    where = {"files": str(tmp_path / "a.parquet")} if cls is Parquet else {"path": tmp_path}
    with pytest.raises(MissingDependencyError, match=r"pip install 'pixelflow-toolkit\[hf\]'"):
        cls.Params(**where).build(height=8, width=8, channels=3)


def test_damage_is_said_or_makes_bad_samples(tmp_path):
    saved(rows(4)).to_parquet(tmp_path / "whole.parquet", batch_size=2)
    whole = (tmp_path / "whole.parquet").read_bytes()
    outcomes = set()
    for place in range(4, len(whole), 97):
        (tmp_path / "a.parquet").write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            dataset = Parquet.Params(files=str(tmp_path / "a.parquet")).build(height=8, width=8, channels=3)
        except DataError:
            outcomes.add("said")
            continue
        for index in range(len(dataset)):
            outcomes.add(type(read(dataset, index)))
            assert isinstance(dataset.captions(index), list)
    assert outcomes == {"said", Sample, BadSample}


def test_workers_read_what_this_process_reads(opened):
    dataset = opened(rows(), FEATURES)
    wanted = {"batch_size": 4, "seed": 1, "bad_images": 0, "first_step": 1}
    alone, helped = (batches(dataset, workers=workers, **wanted) for workers in (0, 2))
    for _ in range(4):
        one, other = next(alone), next(helped)
        assert one.values == other.values
        assert torch.equal(*(each.groups[0].images(torch.device("cpu")) for each in (one, other)))


def test_a_small_file_of_equal_large_images_takes_little_memory(tmp_path):
    """Of 20 MB each, thirty times, in some kilobytes: a whole row group would be 600 MB."""
    import pyarrow.parquet

    image = picture() + bytes(20 << 20)
    table = pa.table({"image": pa.array([image] * 30, pa.binary()), "label": [0] * 30})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet", compression="zstd")
    del table, image
    assert (tmp_path / "a.parquet").stat().st_size < 100_000
    dataset = Parquet.Params(files=str(tmp_path / "a.parquet")).build(height=8, width=8, channels=3)
    held = [pa.total_allocated_bytes()]
    for index in (0, 29, 15):
        assert isinstance(read(dataset, index), Sample)
        held.append(pa.total_allocated_bytes())
    assert max(held) < 300 << 20


def test_more_rows_than_bytes(tmp_path):
    import pyarrow.parquet

    count = 3_000_000
    table = pa.table({"image": pa.nulls(count, pa.binary())})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(DataError, match="declares 3000000 rows in"):
        Parquet.Params(files=str(tmp_path / "a.parquet")).build(height=8, width=8, channels=3)
