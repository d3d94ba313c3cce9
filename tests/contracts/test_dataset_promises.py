"""What every registered data set promises."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pixelflow.core import plugins
from pixelflow.core.interfaces import Dataset, Sample
from pixelflow.core.registry import registry
from tests.data.tables import write_tables
from tests.data.tars import write_tar

plugins.load()
DATASETS = {name: entry.cls for name, entry in registry.of_kind("dataset").items() if entry.origin == "pixelflow"}
SIZES = [(8, 8, 1), (16, 24, 3)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Captioned images of several sizes in two class folders."""
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for index in range(6):
        place = root / "ab"[index % 2] / f"{index}.png"
        place.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20 + index, 33, 3), dtype=np.uint8)).save(place)
        place.with_suffix(".txt").write_text(f"picture {index}")
    np.savez(root / "images.npz", rng.integers(0, 256, (7, 20, 24, 3), dtype=np.uint8), np.arange(7) % 3)
    write_tar(root / "all.tar", ((str(file.relative_to(root)), file.read_bytes()) for file in sorted(root.glob("*/*"))))
    write_tables(root, sorted(root.glob("*/*")))
    return root


@pytest.fixture(params=[(name, size) for name in DATASETS for size in SIZES], ids=str)
def dataset(request, folder, served) -> Dataset:
    name, (height, width, channels) = request.param
    if name == "web_shards":
        pytest.importorskip("webdataset")
    params = DATASETS[name].Params
    places = {"root": folder, "file": folder / "images.npz", "shards": str(folder / "all.tar")}
    places |= {"files": str(folder / "all.parquet"), "path": folder / "saved"}
    if name == "web_shards":
        places |= {"shards": f"{served(folder)}/all.tar", "cache": folder / "cache"}
    needed = {name: place for name, place in places.items() if name in params.model_fields}
    return params(**needed).build(height=height, width=width, channels=channels)


def element(dataset: Dataset, index: int, seed: int = 0) -> Sample:
    sample = dataset.sample(index, torch.Generator().manual_seed(seed))
    assert isinstance(sample, Sample), sample
    return sample


def same(one: Sample, other: Sample) -> bool:
    return torch.equal(one.image, other.image) and (one.label, one.caption) == (other.label, other.caption)


def some(dataset: Dataset) -> range:
    return range(0, len(dataset), max(1, len(dataset) // 5))


def test_images_have_the_size_and_range(dataset, request):
    _, (height, width, channels) = request.node.callspec.params["dataset"]
    for index in some(dataset):
        image = element(dataset, index).image
        assert tuple(image.shape) == (channels, height, width)
        assert image.dtype == torch.float32
        assert image.min() >= -1
        assert image.max() <= 1
        assert image.max() - image.min() > 0.1


def test_an_element_is_decided_by_index_and_generator(dataset):
    for index in some(dataset):
        assert same(element(dataset, index), element(dataset, index))
    assert not torch.equal(element(dataset, 0).image, element(dataset, 1).image)


def test_the_global_generator_is_not_used(dataset):
    before = torch.get_rng_state()
    element(dataset, 0)
    assert torch.equal(torch.get_rng_state(), before)


def test_it_pickles(dataset):
    copy = pickle.loads(pickle.dumps(dataset))
    assert len(copy) == len(dataset)
    assert all(same(element(copy, index), element(dataset, index)) for index in some(dataset))


def test_labels_are_indices_of_the_classes(dataset):
    labels = {element(dataset, index).label for index in some(dataset)}
    if dataset.classes:
        assert labels <= set(range(len(dataset.classes)))
        assert len(set(dataset.classes)) == len(dataset.classes)
    else:
        assert labels == {None}


def test_plain_settings_take_chance_out_of_the_images(dataset, request):
    _, (height, width, channels) = request.node.callspec.params["dataset"]
    plain = dataset.params.plain().build(height=height, width=width, channels=channels)
    assert len(plain) == len(dataset)
    for index in some(plain):
        assert torch.equal(element(plain, index, 1).image, element(plain, index, 2).image)
