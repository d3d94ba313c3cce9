"""The metric clean_fid gives the very number of clean-fid's own command on the same files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pixelflow.core import torchvision_compat
from pixelflow.core.errors import MissingDependencyError
from pixelflow.data.image_folder import ImageFolder
from pixelflow.evaluation import cleanfid
from pixelflow.evaluation.random_conv import RandomConv
from pixelflow.evaluation.sources import DatasetSource

CPU = torch.device("cpu")


def folder(path: Path, count: int, seed: int) -> Path:
    path.mkdir()
    rng = np.random.default_rng(seed)
    for index in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        coarse.resize((20, 20), Image.Resampling.BICUBIC).save(path / f"{index}.png")
    return path


def source(path: Path) -> DatasetSource:
    params = ImageFolder.Params(root=path).plain()
    return DatasetSource(ImageFolder(params, height=20, width=20, channels=3), bad_images=0)


def test_equals_clean_fid_on_the_same_folders(tmp_path):
    first, second = folder(tmp_path / "first", 24, 0), folder(tmp_path / "second", 24, 1)
    extractor = RandomConv(RandomConv.Params(width=8), device=CPU)
    torchvision_compat.make_importable()
    from cleanfid import fid

    expected = fid.compute_fid(
        str(first), str(second), num_workers=0, device=CPU, use_dataparallel=False, verbose=False,
        custom_feat_extractor=lambda pixels: extractor.features(pixels / 127.5 - 1),
    )  # fmt: skip
    metric = cleanfid.CleanFid(cleanfid.CleanFid.Params(extractor=RandomConv.Params(width=8)), device=CPU)
    assert metric.compute(source(first), source(second))["distance"] == pytest.approx(expected, rel=1e-6)


def test_brackets_and_archives_in_a_path_are_only_names(tmp_path):
    odd = folder(tmp_path / "set [v1].zip", 4, 0)
    metric = cleanfid.CleanFid(cleanfid.CleanFid.Params(), device=CPU)
    assert metric.compute(source(odd), source(odd))["distance"] == pytest.approx(0, abs=1e-6)


def test_a_scipy_that_clean_fid_does_not_know_is_one_line(monkeypatch):
    from scipy import linalg

    def without_disp(matrix):
        return matrix

    monkeypatch.setattr(linalg, "sqrtm", without_disp)
    with pytest.raises(MissingDependencyError, match=r"scipy<1\.18"):
        cleanfid.distance(np.random.rand(5, 2), np.random.rand(5, 2))
