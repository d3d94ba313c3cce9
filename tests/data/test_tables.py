"""Parquet files and Hugging Face data sets on disk, written by their own libraries."""

from __future__ import annotations

import json
import logging
import pickle
import sys

import pytest
import torch

from pixelflow.core.errors import DataError, MissingDependencyError, MissingInputError
from pixelflow.core.interfaces import BadSample, Sample
from pixelflow.data import parquet as parquet_module
from pixelflow.data.hf_dataset import HfDataset
from pixelflow.data.parquet import Parquet
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
    (tmp_path / "there.png").write_bytes(picture("green"))
    content = {"image": [str(tmp_path / "there.png"), str(tmp_path / "gone.png"), "/dev/zero", None]}
    dataset = opened(content)
    assert read(dataset, 0).image.mean(dim=(1, 2)).argmax() == 1
    assert read(dataset, 1).reason.endswith("gone.png is no file")
    assert read(dataset, 2).reason == "/dev/zero is no file"
    assert "holds no image" in read(dataset, 3).reason


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
    for damage in ("{", json.dumps({"_data_files": [{"filename": "../../../etc/passwd"}]})):
        (tmp_path / "saved" / "state.json").write_text(damage)
        with pytest.raises(DataError, match="is no data set that save_to_disk wrote") as caught:
            HfDataset.Params(path=tmp_path / "saved").build(height=8, width=8, channels=3)
        assert "\n" not in str(caught.value)


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
    read_group = pyarrow.parquet.ParquetFile.read_row_group

    def counted(file, group, **settings):
        groups.append(group)
        return read_group(file, group, **settings)

    monkeypatch.setattr(pyarrow.parquet.ParquetFile, "read_row_group", counted)
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
    with pytest.raises(MissingDependencyError, match=r"pip install 'pixelflow\[hf\]'"):
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
        assert torch.equal(one.groups[0].images, other.groups[0].images)
