"""CLIP-FID, CLIP score, CMMD and FD-DINOv2 on small networks: the libraries' features and the published formulas."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from pixelflow.contracts.partners import Held
from pixelflow.core.interfaces import ImageBatch
from pixelflow.metrics.clip import Clip
from pixelflow.metrics.clip_score import ClipScore
from pixelflow.metrics.cmmd import Cmmd
from pixelflow.metrics.dinov2 import Dinov2
from pixelflow.metrics.distances import frechet
from pixelflow.metrics.fids import ClipFid, FdDinov2
from pixelflow.system import torchvision_compat
from pixelflow.system.errors import DataError, MissingDependencyError
from tests.tiny_encoders import SENTENCES, make_clip, make_dinov2

torchvision_compat.make_importable()
CPU = torch.device("cpu")


def pictures(seed: int, count: int = 12) -> list[Image.Image]:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    return [Image.fromarray(each).resize((20, 12), Image.Resampling.BICUBIC) for each in coarse]


def batch(seed: int, captions: list[str] | None = None) -> list[ImageBatch]:
    arrays = np.stack([np.asarray(picture) for picture in pictures(seed)])
    return [ImageBatch(torch.from_numpy(arrays).permute(0, 3, 1, 2) / 127.5 - 1, captions=captions)]


CAPTIONS = SENTENCES * 3
IMAGES = Held(batch(0, CAPTIONS), batch(1))


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A folder, and what open-clip itself makes of it."""
    import open_clip

    folder = make_clip(tmp_path_factory.mktemp("clip"))
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    return str(folder), model.eval(), preprocess


@pytest.fixture(scope="module")
def dinov2(tmp_path_factory):
    return str(make_dinov2(tmp_path_factory.mktemp("dinov2")))


@torch.no_grad()
def embedded(clip, seed: int) -> torch.Tensor:
    _, model, preprocess = clip
    return model.encode_image(torch.stack([preprocess(picture) for picture in pictures(seed)]))


def test_clip_fid_is_of_open_clips_own_features(clip):
    found = ClipFid(ClipFid.Params(model=clip[0]), device=CPU).compute(IMAGES)["clip_fid"]
    expected = frechet(*(embedded(clip, seed).double().numpy() for seed in (0, 1)))
    assert found == pytest.approx(expected, rel=1e-4)


def test_clip_score_is_a_hundred_cosines(clip):
    import open_clip

    folder, model, _ = clip
    with torch.no_grad():
        texts = model.encode_text(open_clip.get_tokenizer(f"local-dir:{folder}")(CAPTIONS))
    expected = 100 * float(F.cosine_similarity(embedded(clip, 0), texts).mean())
    metric = ClipScore(ClipScore.Params(model=folder), device=CPU)
    assert metric.compute(IMAGES)["clip_score"] == pytest.approx(expected, rel=1e-5)
    other = Held(batch(0, CAPTIONS[1:] + CAPTIONS[:1]), batch(1))
    assert metric.compute(other)["clip_score"] != pytest.approx(expected, rel=1e-5)


def test_clip_score_needs_captions(clip):
    with pytest.raises(DataError, match="needs captions"):
        ClipScore(ClipScore.Params(model=clip[0]), device=CPU).compute(Held(batch(0), batch(1)))


def test_cmmd_is_the_published_formula(clip):
    one, other = IMAGES.features(Clip.Params(model=clip[0], resize="square", normalised=True))
    assert np.allclose(np.linalg.norm(one, axis=1), 1)
    squared = [
        [np.mean([[np.exp(-((x - y) @ (x - y)) / 200) for y in b] for x in a]) for b in (one, other)]
        for a in (one, other)
    ]
    expected = 1000 * (squared[0][0] + squared[1][1] - 2 * squared[0][1])
    found = Cmmd(Cmmd.Params(model=clip[0]), device=CPU).compute(IMAGES)["cmmd"]
    assert found == pytest.approx(expected, rel=1e-6)
    assert Cmmd(Cmmd.Params(model=clip[0]), device=CPU).compute(Held(batch(0), batch(0)))["cmmd"] == pytest.approx(0)


def test_square_pictures_show_all_and_cropped_ones_the_middle(clip):
    edge = batch(0)[0].images.clone()
    edge[..., 0] = 1
    for resize, sees in (("crop", False), ("square", True)):
        extractor = Clip(Clip.Params(model=clip[0], resize=resize), device=CPU)
        change = (extractor.features(edge) - extractor.features(batch(0)[0].images)).abs().max()
        assert (change > 1e-3) == sees


def test_fd_dinov2_is_of_transformers_class_token(dinov2):
    from transformers import Dinov2Model

    model = Dinov2Model.from_pretrained(dinov2).eval()
    small = [np.asarray(picture.resize((224, 224), Image.Resampling.BICUBIC)) for picture in pictures(0)]
    values = torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2) / 255
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        expected = model((values - mean[:, None, None]) / deviation[:, None, None]).last_hidden_state[:, 0]
    found = IMAGES.generated_features(Dinov2.Params(model=dinov2))
    assert np.allclose(found, expected.numpy(), atol=1e-5)
    distance = FdDinov2(FdDinov2.Params(model=dinov2), device=CPU).compute(IMAGES)["fd_dinov2"]
    assert distance == pytest.approx(frechet(*IMAGES.features(Dinov2.Params(model=dinov2))), rel=1e-5)


@pytest.mark.parametrize("metric", [ClipFid, ClipScore, Cmmd, FdDinov2])
def test_a_network_that_is_not_there_is_one_line(metric, tmp_path, monkeypatch):
    monkeypatch.setenv("PIXELFLOW_WEIGHTS", str(tmp_path))
    with pytest.raises(MissingDependencyError, match="hf download acme/none") as error:
        metric(metric.Params(model="acme/none"), device=CPU).compute(IMAGES)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("metric", [ClipFid, ClipScore, Cmmd, FdDinov2])
def test_of_the_published_networks_the_hash_is_named_and_checked(metric, clip, dinov2, tmp_path, monkeypatch):
    monkeypatch.setenv("PIXELFLOW_WEIGHTS", str(tmp_path))
    made = metric(metric.Params(), device=CPU)
    with pytest.raises(MissingDependencyError, match=r"hf download .*safetensors has the SHA-256 [0-9a-f]{64}"):
        made.compute(IMAGES)
    shutil.copytree(dinov2 if metric is FdDinov2 else clip[0], tmp_path / made.params.model)
    with pytest.raises(DataError, match=rf"has the SHA-256 .*, which is that of {made.params.model}; fetch"):
        made.compute(IMAGES)


def test_damaged_weights_are_one_line(clip, dinov2, tmp_path):
    for extractor, source in ((Clip, clip[0]), (Dinov2, dinov2)):
        folder = tmp_path / extractor.__name__
        folder.mkdir()
        for path in type(tmp_path)(source).iterdir():
            content = path.read_bytes()
            (folder / path.name).write_bytes(content[: len(content) // 2] if path.suffix == ".safetensors" else content)
        with pytest.raises(DataError, match="cannot be read"):
            extractor(extractor.Params(model=str(folder)), device=CPU).features(batch(0)[0].images)


def test_the_hash_is_that_of_the_files(clip, dinov2, tmp_path):
    hashes = {
        Clip(Clip.Params(model=clip[0]), device=CPU).weights_sha256,
        Dinov2(Dinov2.Params(model=dinov2), device=CPU).weights_sha256,
    }
    assert {len(each) for each in hashes} == {64}
    assert len(hashes) == 2
