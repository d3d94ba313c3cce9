"""FID, KID and the ADM evaluator's figures on a small network of the real file's form, against the originals' code."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from pixelflow.contracts.partners import Held
from pixelflow.data.image_folder import ImageFolder
from pixelflow.evaluation.sources import DatasetSource
from pixelflow.evaluation.statistics import FeatureMoments
from pixelflow.metrics.adm_inception import AdmInception
from pixelflow.metrics.clean_fid import CleanFid
from pixelflow.metrics.clean_resized import CleanResized
from pixelflow.metrics.distances import frechet
from pixelflow.metrics.fids import AdmFid, AdmSfid, Fid
from pixelflow.metrics.inception import INCEPTION, InceptionPool
from pixelflow.metrics.inception_score import InceptionScore
from pixelflow.metrics.kernel_distance import KernelDistance
from pixelflow.metrics.kid import Kid
from pixelflow.metrics.knn_precision_recall import KnnPrecisionRecall
from pixelflow.metrics.precision_recall import PrecisionRecall
from pixelflow.metrics.random_conv import RandomConv
from pixelflow.system import torchvision_compat
from pixelflow.system.errors import DataError, MissingDependencyError
from tests.tiny_inception import CLASSES, POOL, make_inception

torchvision_compat.make_importable()
from cleanfid import fid  # noqa: E402

CPU = torch.device("cpu")
SIZE = (20, 28)


def pictures(path: Path, count: int, seed: int) -> Path:
    path.mkdir()
    rng = np.random.default_rng(seed)
    for index in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        coarse.resize(SIZE[::-1], Image.Resampling.BICUBIC).save(path / f"{index:03d}.png")
    return path


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("pictures")
    return pictures(folder / "generated [v1].zip", 24, 0), pictures(folder / "real", 30, 1)


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> dict[str, str]:
    return make_inception(tmp_path_factory.mktemp("weights") / "inception-2015-12-05.pt")


@pytest.fixture(scope="module")
def images(folders) -> Held:
    return Held(*(source(folder) for folder in folders))


def source(path: Path) -> DatasetSource:
    params = ImageFolder.Params(root=path).plain()
    return DatasetSource(ImageFolder(params, height=SIZE[0], width=SIZE[1], channels=3), bad_images=0)


def values(path: Path) -> torch.Tensor:
    """The pictures of a folder as they are: (b 3 h w), 0 to 255."""
    arrays = [np.asarray(Image.open(file)) for file in sorted(path.iterdir())]
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).float()


def feature_sets(file, folders, mode: str) -> list[np.ndarray]:
    """Features by clean-fid's own code for files."""
    base = torch.jit.load(file["weights"])

    def model(batch):  # its wrapper fixes the real network's 2048 features
        inside = mode == "legacy_tensorflow"
        return base(batch, return_features=True) if inside else base.layers((batch - 128) / 128).flatten(1)

    return [
        fid.get_files_features(
            [str(path) for path in sorted(folder.iterdir())], model, num_workers=0, batch_size=8, device=CPU,
            mode=mode, verbose=False,
        )
        for folder in folders
    ]  # fmt: skip


@pytest.mark.parametrize("mode", ["clean", "legacy_tensorflow"])
def test_fid_and_kid_are_clean_fids(mode, images, folders, file):
    one, other = feature_sets(file, folders, mode)
    distance = Fid(Fid.Params(mode=mode, **file), device=CPU).compute(images)["fid"]
    assert distance == pytest.approx(fid.fid_from_feats(one, other), rel=1e-4, abs=1e-6)
    extractor = InceptionPool.Params(mode=mode, **file)
    assert np.allclose(images.generated_features(extractor), one, atol=1e-6)
    kid = Kid(Kid.Params(mode=mode, subsets=20, subset_size=24, **file), device=CPU).compute(images)["kid"]
    assert kid == pytest.approx(np.mean([fid.kernel_distance(one, other, 1, 24) for _ in range(20)]), abs=1e-4)


def test_the_kernel_distance_in_the_networks_features_is_kid(images, file):
    kid = Kid(Kid.Params(subsets=5, subset_size=20, **file), device=CPU).compute(images)
    params = KernelDistance.Params(extractor=InceptionPool.Params(**file), subsets=5, subset_size=20)
    found = KernelDistance(params, device=CPU).compute(images)
    assert list(found.values()) == list(kid.values())


def test_precision_and_recall_in_the_networks_features_are_the_evaluators(images, file):
    theirs = PrecisionRecall(PrecisionRecall.Params(neighbours=1, **file), device=CPU).compute(images)
    pool = InceptionPool.Params(mode="legacy_tensorflow", **file)
    found = KnnPrecisionRecall(KnnPrecisionRecall.Params(extractor=pool, neighbours=1), device=CPU).compute(images)
    assert found == theirs
    assert 0 < min(found.values()) < 1


def test_kid_of_whole_sets_is_clean_fids_to_the_last_digits(images, folders, file):
    _, real = feature_sets(file, folders, "clean")
    real = real.astype(np.float64)
    same = Held(images.reference, images.reference)
    kid = Kid(Kid.Params(subsets=2, **file), device=CPU).compute(same)
    assert kid["kid"] == pytest.approx(fid.kernel_distance(real, real, 2), rel=1e-5)
    assert kid["deviation_over_subsets"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("mode", ["clean", "legacy_pytorch"])
def test_clean_fid_with_custom_features_is_its_own_commands(mode, tmp_path):
    folders = pictures(tmp_path / "generated", 24, 0), pictures(tmp_path / "real", 30, 1)  # it takes no brackets
    extractor = RandomConv(RandomConv.Params(width=8), device=CPU)
    expected = fid.compute_fid(
        *map(str, folders), mode=mode, num_workers=0, device=CPU, use_dataparallel=False, verbose=False,
        custom_feat_extractor=lambda pixels: extractor.features(pixels / 127.5 - 1),
    )  # fmt: skip
    metric = CleanFid(CleanFid.Params(mode=mode, extractor=extractor.params), device=CPU)
    figures = metric.compute(Held(*(source(folder) for folder in folders)))
    assert figures["distance"] == pytest.approx(expected, rel=1e-6)
    assert metric.title == f"clean_fid {mode}, random_conv"


def test_clean_fid_leaves_the_inception_network_to_fid():
    with pytest.raises(ValidationError, match="the metric for it is fid"):
        CleanFid.Params(extractor="inception")


def test_the_adm_features_are_the_networks_own(folders, images, file):
    base = torch.jit.load(file["weights"])
    seen = values(folders[0])
    features = torch.from_numpy(images.generated_features(AdmInception.Params(**file)))
    assert features.shape == (24, POOL + 2023)
    assert torch.allclose(features[:, :POOL], base(seen, return_features=True).double(), atol=1e-6)
    spatial = features[:, POOL:].reshape(24, 17, 17, 7)  # TensorFlow's order, as in the evaluator's own statistics
    assert spatial.min() == 0
    assert torch.allclose(spatial.mean((1, 2)), tiny_branch(base, seen), atol=1e-6)


def tiny_branch(base, seen: torch.Tensor) -> torch.Tensor:
    """Means over places of the first seven channels of mixed_6/conv, from images resized by the network's way."""
    grid = torch.arange(299) / 299
    rows, columns = grid * seen.shape[-2], grid * seen.shape[-1]

    def at(index, axis):
        low = index.floor().long()
        high = (low + 1).clamp(max=seen.shape[axis] - 1)
        return low, high, index - low

    y0, y1, dy = at(rows, -2)
    x0, x1, dx = at(columns, -1)
    top = seen[..., y0, :][..., x0] * (1 - dx) + seen[..., y0, :][..., x1] * dx
    bottom = seen[..., y1, :][..., x0] * (1 - dx) + seen[..., y1, :][..., x1] * dx
    x = (top * (1 - dy)[:, None] + bottom * dy[:, None] - 128) / 128
    layers = base.layers
    before = layers.mixed_5(layers.conv(layers.pool0(x)))
    return layers.mixed_6.conv(before)[:, :7].mean((2, 3)).double().detach()


def test_adm_distances_are_of_their_parts(images, file):
    found, real = images.features(AdmInception.Params(**file))
    pool = AdmFid(AdmFid.Params(**file), device=CPU).compute(images)["fid"]
    assert pool == pytest.approx(frechet(found[:, :POOL], real[:, :POOL]), rel=1e-6)
    assert pool == pytest.approx(Fid(Fid.Params(mode="legacy_tensorflow", **file), device=CPU).compute(images)["fid"])
    sfid = AdmSfid(AdmSfid.Params(**file), device=CPU).compute(images)["sfid"]
    assert sfid == pytest.approx(frechet(found[:, POOL:], real[:, POOL:]), rel=1e-5)


def test_the_inception_score_is_that_of_the_networks_answers(images, folders, file):
    answers = torch.jit.load(file["weights"])(values(folders[0]), no_output_bias=True).double()
    assert answers.shape == (24, CLASSES)
    scores = []
    for part in answers.split(10):
        divergence = (part * (part.log() - part.mean(0).log())).sum(1).mean()
        scores.append(float(divergence.exp()))
    found = InceptionScore(InceptionScore.Params(split=10, **file), device=CPU).compute(images)
    assert found["inception_score"] == pytest.approx(np.mean(scores), rel=1e-5)


def test_the_published_file_is_wanted_by_default(monkeypatch, tmp_path, images):
    monkeypatch.setenv("PIXELFLOW_WEIGHTS", str(tmp_path))
    with pytest.raises(MissingDependencyError) as error:
        Fid(Fid.Params(), device=CPU).compute(images)
    assert INCEPTION.url in str(error.value)
    assert INCEPTION.sha256 in str(error.value)
    assert len(INCEPTION.sha256) == 64


def test_a_file_of_another_hash_is_not_opened(tmp_path, images):
    file = make_inception(tmp_path / "inception-2015-12-05.pt")
    with pytest.raises(DataError, match="it is not opened"):
        Fid(Fid.Params(weights=file["weights"]), device=CPU).compute(images)


def test_torchscript_of_something_else_is_one_line(tmp_path, images):
    path = tmp_path / "other.pt"
    torch.jit.script(torch.nn.Linear(2, 2)).save(path)
    other = {"weights": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    with pytest.raises(DataError, match=r"holds no Inception") as error:
        Fid(Fid.Params(**other), device=CPU).compute(images)
    assert len(str(error.value).splitlines()) == 1


def test_titles_and_protocols_tell_what_is_measured(file):
    assert Fid(Fid.Params(), device=CPU).title == "fid, clean"
    assert "weights" in Fid(Fid.Params(**file), device=CPU).title
    assert Fid(Fid.Params(mode="legacy_tensorflow"), device=CPU).protocol == "clean-fid, mode legacy_tensorflow"
    assert "ADM" in AdmSfid(AdmSfid.Params(), device=CPU).protocol


@pytest.mark.parametrize("params", [InceptionPool.Params, AdmInception.Params])
def test_weights_may_lie_elsewhere_than_when_statistics_were_saved(params, tmp_path):
    entry = FeatureMoments(params().model_dump(mode="json"), INCEPTION.sha256, np.zeros(1), np.eye(1))
    assert entry.is_of(params(weights=tmp_path / "moved.pt"), INCEPTION.sha256)
    assert not entry.is_of(params(sha256="0" * 64), "0" * 64)
    behind = CleanResized.Params(extractor=params(weights=tmp_path / "moved.pt"))
    assert behind.identity == CleanResized.Params(extractor=params()).identity


@pytest.mark.parametrize("mode", ["clean", "legacy_tensorflow"])
def test_a_missing_clean_fid_is_known_before_anything_is_drawn(mode, file, monkeypatch):
    for module in ("cleanfid", "cleanfid.resize"):
        monkeypatch.setitem(sys.modules, module, None)
    extractor = InceptionPool.Params(mode=mode, **file).build(device=CPU)
    if mode == "legacy_tensorflow":
        extractor.prepare()
        return
    for needing in (extractor, CleanResized.Params().build(device=CPU)):
        with pytest.raises(MissingDependencyError, match=r"pip install 'pixelflow-toolkit\[fid\]'"):
            needing.prepare()
