"""Saved statistics stand in for the real images, for the extractors they are of and no other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from pixelflow.core.interfaces import Extractor
from pixelflow.data.digits import Digits
from pixelflow.evaluation import statistics
from pixelflow.evaluation.comparison import FeatureComparison
from pixelflow.evaluation.sources import DatasetSource
from pixelflow.evaluation.statistics import AdmStatistics, FeatureMoments, NoImages, SavedStatistics, in_file
from pixelflow.metrics.distances import frechet
from pixelflow.metrics.frechet import Frechet
from pixelflow.metrics.label_agreement import LabelAgreement
from pixelflow.metrics.pixels_pca import PixelsPca
from pixelflow.metrics.random_conv import RandomConv
from pixelflow.system.errors import CannotWriteError, DataError, MissingInputError

CPU = torch.device("cpu")
CONV = RandomConv.Params(width=8)


class TwoParts(Extractor):
    """Mean brightness, then the four corner pixels."""

    class Params(Extractor.Params):
        type: Literal["test.two_parts"] = "test.two_parts"

        @property
        def adm_keys(self) -> tuple[tuple[str, str], ...]:
            return (("mu", "sigma"), ("mu_s", "sigma_s"))

    def features(self, images: Tensor) -> Tensor:
        return torch.cat([images.mean((2, 3)), images[:, 0, ::7, ::7].flatten(1)], 1)


def digits(split: str = "all") -> DatasetSource:
    return DatasetSource(Digits(Digits.Params(split=split), height=8, width=8, channels=1), bad_images=0)


def compared(tmp_path: Path, reference, saved=None) -> FeatureComparison:
    return FeatureComparison(
        digits("odd"), reference, device=CPU, folder=tmp_path / "a", cache=tmp_path / "b", statistics=saved
    )


def entry(images: FeatureComparison, params: Extractor.Params) -> FeatureMoments:
    return FeatureMoments(params.model_dump(mode="json"), None, *images.reference_moments(params))


@pytest.fixture
def saved(tmp_path) -> Path:
    whole = compared(tmp_path, digits("even"))
    file = tmp_path / "digits.npz"
    entries = [entry(whole, CONV), entry(whole, RandomConv.Params(width=16))]
    statistics.save(file, entries, {"data": "even digits"}, "even")
    return file


def test_statistics_of_the_same_images_are_added_and_nothing_else_is_replaced(tmp_path, saved):
    other = entry(compared(tmp_path, digits("even")), PixelsPca.Params(components=4))
    statistics.save(saved, [other], {"data": "even digits"}, "even")
    assert [one.extractor["type"] for one in SavedStatistics(saved).entries] == ["pixels_pca", *["random_conv"] * 2]
    statistics.save(saved, [other], {"data": "even digits"}, "even")
    assert len(SavedStatistics(saved).entries) == 3
    np.savez(tmp_path / "images.npz", np.zeros((4, 8, 8, 3), np.uint8))
    for file, identity in ((saved, "odd"), (tmp_path / "images.npz", "even")):
        before = file.read_bytes()
        with pytest.raises(CannotWriteError, match="nothing is replaced; choose another --save-statistics"):
            statistics.save(file, [other], {}, identity)
        assert file.read_bytes() == before


def test_they_give_the_distance_that_the_images_give(tmp_path, saved):
    known = in_file(saved, {"recipe"})
    assert isinstance(known, SavedStatistics)
    assert known.recipe["data"] == "even digits"
    for params in (CONV, RandomConv.Params(width=16)):
        found, real = compared(tmp_path, digits("even")).features(params)
        figures = Frechet(Frechet.Params(extractor=params), device=CPU).compute(
            compared(tmp_path, NoImages(saved), known)
        )
        assert figures == {"distance": pytest.approx(frechet(found, real), rel=1e-6)}


def test_other_extractors_weights_and_metrics_are_refused(tmp_path, saved):
    images = compared(tmp_path, NoImages(saved), SavedStatistics(saved))
    other = RandomConv.Params(width=8, seed=1)
    with pytest.raises(DataError, match=r"no statistics of the extractor random_conv .*it has: random_conv, random"):
        images.reference_moments(other)
    assert not SavedStatistics(saved).holds(CONV, "another hash")
    with pytest.raises(DataError, match="no images, which this needs"):
        LabelAgreement(LabelAgreement.Params(), device=CPU).compute(images)
    with pytest.raises(DataError, match="no images, which this needs"):
        images.features(PixelsPca.Params())
    assert images.features(CONV)[1].shape == (0, 16)


def test_adm_files_hold_parts_and_images(tmp_path):
    whole = compared(tmp_path, digits())
    mean, covariance = whole.reference_moments(TwoParts.Params())
    file = tmp_path / "VIRTUAL.npz"
    kept = {"mu": mean[:1], "sigma": covariance[:1, :1], "mu_s": mean[1:], "sigma_s": covariance[1:, 1:]}
    np.savez(file, arr_0=np.zeros((3, 8, 8, 3), np.uint8), **kept)
    known = in_file(file, {"arr_0", "mu"})
    assert isinstance(known, AdmStatistics)
    images = compared(tmp_path, digits("even"), known)
    found = images.reference_moments(TwoParts.Params())
    assert np.allclose(found[0], mean)
    assert np.allclose(found[1][1:, 1:], covariance[1:, 1:])
    assert not found[1][0, 1:].any()
    own = images.reference_moments(CONV)
    assert np.allclose(own[0], images.reference_features(CONV).mean(0))
    with pytest.raises(DataError, match="network alone, not of random_conv"):
        compared(tmp_path, NoImages(file), known).reference_moments(CONV)


def test_files_that_are_none_are_refused(tmp_path):
    with pytest.raises(MissingInputError):
        SavedStatistics(tmp_path / "nowhere.npz")
    for name, arrays in {
        "no.npz": {"recipe": np.array("{")},
        "few.npz": {"recipe": np.array(json.dumps({"extractors": [{"extractor": {}, "weights_sha256": None}]}))},
        "code.npz": {"recipe": np.array([print], dtype=object)},
    }.items():
        np.savez(tmp_path / name, **arrays)
        with pytest.raises(DataError, match=name):
            SavedStatistics(tmp_path / name)
    (tmp_path / "torn.npz").write_bytes((tmp_path / "few.npz").read_bytes()[:100])
    with pytest.raises(DataError, match=r"torn\.npz"):
        SavedStatistics(tmp_path / "torn.npz")
