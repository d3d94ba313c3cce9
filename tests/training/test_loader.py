"""The stream of batches: decided by seed and step alone, and hardened against unreadable images."""

from __future__ import annotations

import itertools
import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pixelflow.core.component import ComponentParams
from pixelflow.core.interfaces import BadSample, Dataset, Sample
from pixelflow.data.image_folder import ImageFolder
from pixelflow.system.errors import DataError
from pixelflow.training.loader import Batch, batches
from tests.data.bad_images import write_bad_images


class Numbers(Dataset):
    """Images that hold their own index and a random number; `bad` indices cannot be read."""

    class Params(ComponentParams):
        pass

    def __init__(self, count: int, bad: frozenset[int] = frozenset()) -> None:
        super().__init__(self.Params())
        self._count, self._bad = count, bad

    def __len__(self) -> int:
        return self._count

    def sample(self, index: int, generator: torch.Generator) -> Sample | BadSample:
        if index in self._bad:
            return BadSample(f"{index}.png", "torn")
        return Sample(torch.stack([torch.full((1, 1), float(index)), torch.rand(1, 1, generator=generator)]), index)


def take(dataset: Dataset, count: int, **changes) -> list[Batch]:
    settings = {"batch_size": 4, "seed": 0, "workers": 0, "first_step": 0, "bad_images": 10} | changes
    return list(itertools.islice(batches(dataset, **settings), count))


def labels(found: list[Batch]) -> list[int]:
    return [label for batch in found for label in batch.values["label"]]


def same(first: list[Batch], second: list[Batch]) -> bool:
    here = torch.device("cpu")
    return all(
        torch.equal(one.groups[0].images(here), other.groups[0].images(here)) and one.values == other.values
        for one, other in zip(first, second, strict=True)
    )


@given(st.integers(1, 30), st.integers(1, 12), st.integers(0, 3))
def test_every_epoch_shows_every_image_once_and_no_batch_is_short(count, size, seed):
    steps = -(-3 * count // size)
    found = take(Numbers(count), steps, batch_size=size, seed=seed)
    assert all(len(batch.groups[0].members) == len(batch.values["label"]) == size for batch in found)
    for epoch in range(3):
        assert sorted(labels(found)[epoch * count : (epoch + 1) * count]) == list(range(count))


@given(st.integers(0, 40))
def test_the_stream_starts_at_any_step(first):
    dataset = Numbers(23)
    assert same(take(dataset, 43)[first : first + 3], take(dataset, 3, first_step=first))


class WithFields(Numbers):
    """Numbers with two fields more: one of 8-bit values, one of others; only even indices have a third."""

    def sample(self, index, generator):
        sample = super().sample(index, generator)
        assert isinstance(sample, Sample)
        fields = {"small": torch.full((1, 2, 2), index / 127.5 - 1), "vector": torch.rand(3, generator=generator)}
        return replace(sample, fields=fields if index % 2 else {**fields, "even": torch.zeros(1)})


def test_fields_of_any_name_come_through_workers():
    alone, (ahead, *_) = take(WithFields(8), 1)[0], take(WithFields(8), 2, workers=1)
    assert alone.values.keys() == {"label", "small", "vector"}
    for name in ("small", "vector"):
        for one, other in zip(alone.values[name], ahead.values[name], strict=True):
            assert torch.equal(one, other)
    assert [round(float(one.mean() + 1) * 127.5) for one in ahead.values["small"]] == ahead.values["label"]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("first", [0, 5])
def test_workers_change_nothing(workers, first):
    dataset = Numbers(10, bad=frozenset({3, 7}))
    assert same(take(dataset, 8, first_step=first), take(dataset, 8, first_step=first, workers=workers))


def test_seeds_and_epochs_differ_in_order_and_augmentation():
    dataset = Numbers(8)
    first, second = take(dataset, 2, batch_size=8)
    (other,) = take(dataset, 1, batch_size=8, seed=1)
    assert len({tuple(labels([batch])) for batch in (first, second, other)}) == 3
    drawn = {
        round(value, 6) for batch in (first, second, other) for value in batch.groups[0].pixels[:, 1].flatten().tolist()
    }
    assert len(drawn) == 24


def test_the_global_generator_is_left_alone():
    before = torch.get_rng_state()
    take(Numbers(8), 2)
    assert torch.equal(torch.get_rng_state(), before)


def test_unlabelled_images_have_no_labels(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "1.png")
    dataset = ImageFolder(ImageFolder.Params(root=tmp_path), height=8, width=8, channels=3)
    (batch,) = take(dataset, 1)
    assert batch.groups[0].pixels.shape == (4, 3, 8, 8)
    assert batch.values == {}


def test_unreadable_images_are_replaced_and_named_once(caplog):
    with caplog.at_level(logging.WARNING):
        found = take(Numbers(10, bad=frozenset({3, 7})), 10)
    assert not {3, 7} & set(labels(found))
    assert sorted(text.partition(": ")[2] for text in caplog.messages) == ["3.png (torn)", "7.png (torn)"]


@pytest.mark.parametrize("workers", [0, 2])
def test_too_many_unreadable_images_stop_the_stream(workers):
    dataset = Numbers(40, bad=frozenset(range(20)))
    with pytest.raises(DataError, match=r"unreadable images are more than the 5 .* \d+\.png \(torn\).*raise training"):
        take(dataset, 20, bad_images=5, workers=workers)


def test_as_many_unreadable_images_as_allowed_are_survived():
    assert set(labels(take(Numbers(6, bad=frozenset(range(5))), 10, bad_images=5))) == {5}


def test_no_image_at_all():
    with pytest.raises(DataError, match="none of the 3 images"):
        take(Numbers(3, bad=frozenset(range(3))), 1)
    with pytest.raises(DataError, match="empty"):
        take(Numbers(0), 1)


def test_a_folder_with_every_kind_of_bad_file(tmp_path: Path, caplog):
    bad = write_bad_images(tmp_path)
    for index in range(8):
        Image.new("RGB", (16, 16), (index, 0, 0)).save(tmp_path / f"good{index}.png")
    dataset = ImageFolder(ImageFolder.Params(root=tmp_path), height=8, width=8, channels=3)
    with caplog.at_level(logging.WARNING):
        found = take(dataset, 13, bad_images=len(bad))
    assert len(bad) >= 25
    assert all(batch.groups[0].pixels.shape == (4, 3, 8, 8) for batch in found)
    for path in bad:
        assert sum(str(path) in text for text in caplog.messages) == 1, path
    with pytest.raises(DataError, match=f"{len(bad)} unreadable"):
        take(dataset, 13, bad_images=len(bad) - 1)
