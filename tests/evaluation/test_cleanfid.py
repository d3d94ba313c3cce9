"""Resizing is clean-fid's own: features after it give the very number of clean-fid's command on the same files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pixelflow.core import torchvision_compat
from pixelflow.data.image_folder import ImageFolder
from pixelflow.evaluation.cleanfid import resized
from pixelflow.evaluation.distances import frechet
from pixelflow.evaluation.random_conv import RandomConv
from pixelflow.evaluation.sources import DatasetSource

EXTRACTOR = RandomConv(RandomConv.Params(width=8), device=torch.device("cpu"))


def folder(path: Path, count: int, seed: int) -> Path:
    path.mkdir()
    rng = np.random.default_rng(seed)
    for index in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        coarse.resize((20, 20), Image.Resampling.BICUBIC).save(path / f"{index}.png")
    return path


def features(path: Path, mode: str) -> np.ndarray:
    images = ImageFolder(ImageFolder.Params(root=path).plain(), height=20, width=20, channels=3)
    batches = [EXTRACTOR.features(resized(batch.images, mode)) for batch in DatasetSource(images, bad_images=0)]
    return torch.cat(batches).double().numpy()


@pytest.mark.parametrize("mode", ["clean", "legacy_pytorch"])
def test_equals_clean_fid_on_the_same_folders(tmp_path, mode):
    first, second = folder(tmp_path / "first", 24, 0), folder(tmp_path / "second", 24, 1)
    torchvision_compat.make_importable()
    from cleanfid import fid

    expected = fid.compute_fid(
        str(first), str(second), mode=mode, num_workers=0, device=torch.device("cpu"), use_dataparallel=False,
        verbose=False, custom_feat_extractor=lambda pixels: EXTRACTOR.features(pixels / 127.5 - 1),
    )  # fmt: skip
    assert frechet(features(first, mode), features(second, mode)) == pytest.approx(expected, rel=1e-6)
