"""Features are extracted once, go on after a stop, and are never believed when their images have changed."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from pixelflow.core.interfaces import Extractor
from pixelflow.data.digits import Digits
from pixelflow.data.image_folder import ImageFolder
from pixelflow.evaluation.comparison import FeatureComparison
from pixelflow.evaluation.features import SHARD, Features
from pixelflow.evaluation.sources import DatasetSource
from pixelflow.metrics.pixels_pca import PixelsPca
from pixelflow.metrics.random_conv import RandomConv
from pixelflow.system.errors import DataError

CPU = torch.device("cpu")


def digits(split: str = "all") -> DatasetSource:
    return DatasetSource(Digits(Digits.Params(split=split), height=8, width=8, channels=1), bad_images=0)


def pictures(root: Path, bad_images: int = 0) -> DatasetSource:
    dataset = ImageFolder(ImageFolder.Params(root=root).plain(), height=8, width=8, channels=1)
    return DatasetSource(dataset, bad_images)


class Means:
    """An extraction that counts what it was asked for."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, images: Tensor) -> Tensor:
        self.batches.append(len(images))
        return images.mean((2, 3))

    @property
    def images(self) -> int:
        return sum(self.batches)


class Counted(Extractor):
    """A registered-like extractor that counts."""

    class Params(Extractor.Params):
        type: Literal["test.counted"] = "test.counted"

    seen = 0
    weights = "a"

    @property
    def weights_sha256(self) -> str:
        return self.weights

    def features(self, images: Tensor) -> Tensor:
        Counted.seen += len(images)
        return images.flatten(1)


def compared(tmp_path: Path, generated: DatasetSource, reference: DatasetSource, folder: str = "a"):
    return FeatureComparison(generated, reference, device=CPU, folder=tmp_path / folder, cache=tmp_path / "cache")


def test_features_are_those_of_the_images_in_order_a_few_at_a_time(tmp_path):
    extract, told = Means(), []
    features = Features(tmp_path, digits(), extract, told.append).rows()
    expected = torch.cat([batch.images for batch in digits()]).mean((2, 3))
    assert features.dtype == np.float64
    assert np.array_equal(features, expected.double().numpy())
    assert max(extract.batches) <= 64
    assert told == sorted(told)
    assert told[-1] == extract.images == 1797


def test_what_is_there_is_not_extracted_again(tmp_path):
    first = Features(tmp_path, digits(), Means(), print).rows()
    shards = sorted(tmp_path.glob("*.npz"))
    assert len(shards) == -(-1797 // SHARD)
    shards[1].unlink()
    again = Means()
    assert np.array_equal(Features(tmp_path, digits(), again, print).rows(), first)
    assert again.images == SHARD


def test_a_kill_while_extracting_costs_one_shard_at_most(tmp_path):
    class Killed(Means):
        def __call__(self, images: Tensor) -> Tensor:
            if self.images >= SHARD + 100:
                raise KeyboardInterrupt
            return super().__call__(images)

    with pytest.raises(KeyboardInterrupt):
        Features(tmp_path, digits(), Killed(), print).rows()
    again = Means()
    Features(tmp_path, digits(), again, print).rows()
    assert again.images == 1797 - SHARD


@pytest.mark.parametrize("place", [60, 2000, -30])
def test_a_damaged_shard_is_extracted_again(tmp_path, place):
    first = Features(tmp_path, digits(), Means(), print).rows()
    file = sorted(tmp_path.glob("*.npz"))[0]
    content = bytearray(file.read_bytes())
    content[place] ^= 255
    file.write_bytes(content)
    assert np.array_equal(Features(tmp_path, digits(), Means(), print).rows(), first)
    file.write_bytes(content[:700])
    assert np.array_equal(Features(tmp_path, digits(), Means(), print).rows(), first)


def test_streamed_moments_are_numpys(tmp_path):
    features = Features(tmp_path, digits(), lambda images: 1000 + images.flatten(1), print)
    mean, covariance = features.moments()
    rows = features.rows()
    assert np.allclose(mean, rows.mean(0), rtol=1e-12)
    assert np.allclose(covariance, np.cov(rows, rowvar=False), atol=1e-10 * np.abs(covariance).max())


def test_unreadable_images_are_remembered(tmp_path):
    for index in range(6):
        Image.new("L", (8, 8), 40 * index).save(tmp_path / f"{index}.png")
    (tmp_path / "2.png").write_bytes(b"torn")
    (tmp_path / "kept").mkdir()
    for _ in range(2):
        source = pictures(tmp_path, bad_images=1)
        assert len(Features(tmp_path / "kept", source, Means(), print).rows()) == len(source) == 5
        assert list(source.tally.reasons) == [str(tmp_path / "2.png")]
    with pytest.raises(DataError, match=r"1 unreadable images are more than the 0"):
        Features(tmp_path / "kept", pictures(tmp_path, bad_images=0), Means(), print).rows()


def test_features_that_are_not_finite_are_refused_and_not_kept(tmp_path):
    with pytest.raises(DataError, match="not finite"):
        Features(tmp_path, digits(), lambda images: images.mean((2, 3)) / 0, print).rows()
    assert not list(tmp_path.glob("*.npz"))


def test_real_images_are_extracted_once_for_all_comparisons(tmp_path):
    Counted.seen = 0
    one = compared(tmp_path, digits("odd"), digits())
    first = one.features(Counted.Params())
    assert Counted.seen == len(first[0]) + 1797
    one.features(Counted.Params())
    one.reference_moments(Counted.Params())
    assert Counted.seen == len(first[0]) + 1797
    other = compared(tmp_path, digits("even"), digits(), folder="b").features(Counted.Params())
    assert np.array_equal(other[1], first[1])
    assert Counted.seen == len(first[0]) + len(other[0]) + 1797


def test_other_weights_or_other_images_are_not_mistaken(tmp_path, monkeypatch):
    root = tmp_path / "pictures"
    root.mkdir()
    for index in range(3):
        Image.new("L", (8, 8), 40 * index).save(root / f"{index}.png")
    before = compared(tmp_path, pictures(root), pictures(root)).features(Counted.Params())[1]
    monkeypatch.setattr(Counted, "weights", "b")
    Counted.seen = 0
    compared(tmp_path, pictures(root), pictures(root)).features(Counted.Params())
    assert Counted.seen == 6
    Image.new("L", (8, 8), 200).save(root / "1.png")
    after = compared(tmp_path, pictures(root), pictures(root)).features(Counted.Params())[1]
    assert not np.array_equal(before[1], after[1])
    assert np.array_equal(before[::2], after[::2])


def test_what_learns_from_the_real_images_is_kept_apart_by_them(tmp_path):
    params = PixelsPca.Params(components=4)
    one = compared(tmp_path, digits("odd"), digits("even")).generated_features(params)
    other = compared(tmp_path, digits("odd"), digits()).generated_features(params)
    assert one.shape == other.shape
    assert not np.allclose(np.abs(one), np.abs(other))


def test_extractors_of_two_settings_do_not_meet(tmp_path):
    comparison = compared(tmp_path, digits("odd"), digits("even"))
    one, other = (comparison.generated_features(RandomConv.Params(width=8, seed=seed)) for seed in (0, 1))
    assert not np.allclose(one, other)
    assert [params.seed for params in comparison.extractors] == [0, 1]
