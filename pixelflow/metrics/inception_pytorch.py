"""The Inception network of pytorch-fid: TensorFlow's weights in torchvision's form, which hold no code."""

from __future__ import annotations

import io
import pickle
from functools import lru_cache
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from pixelflow.core.interfaces import Extractor
from pixelflow.metrics.in_network import OfNetwork
from pixelflow.metrics.pixels import clean_fid, resized_by_clean_fid
from pixelflow.system.errors import DataError
from pixelflow.system.pretrained import Published, read_file

PT_INCEPTION = Published(
    "pt_inception-2015-12-05-6726825d.pth",
    "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
    "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
)
_CLASSES = 1008


class PtInceptionFile(OfNetwork):
    """Where these weights lie, for the settings of all that uses them."""

    weights: Path | None = None
    """pt_inception-2015-12-05-6726825d.pth; by default in the folder PIXELFLOW_WEIGHTS, else in ~/.cache/pixelflow."""
    sha256: str = Field(default=PT_INCEPTION.sha256, pattern="^[0-9a-f]{64}$")
    """Hash of that file, which is not opened unless the hash is this one."""

    @property
    def note(self) -> str:
        return "" if self.sha256 == PT_INCEPTION.sha256 else f", weights {self.sha256[:8]}"


class PytorchInception(Extractor):
    """The 2048 values of its last mean over places; of images resized as pytorch-fid did: bilinear, no antialiasing."""

    class Params(PtInceptionFile, Extractor.Params):
        type: Literal["inception_pytorch"] = "inception_pytorch"

        @property
        def identity(self) -> dict[str, object]:
            return self.model_dump(mode="json", exclude={"weights"})

    params: Params

    @property
    def weights_sha256(self) -> str:
        return self.params.sha256

    def prepare(self) -> None:
        _read(self.params.weights, self.params.sha256, self.device)

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        network = _read(self.params.weights, self.params.sha256, self.device)
        values = resized_by_clean_fid(images, "legacy_pytorch").to(self.device)
        features: Tensor = network(2 * (values / 255) - 1)
        return features


@lru_cache(maxsize=1)
def _read(weights: Path | None, sha256: str, device: torch.device) -> nn.Module:
    content = read_file(PT_INCEPTION, weights, sha256, "pytorch-fid's Inception network")
    network = build()
    try:
        network.load_state_dict(torch.load(io.BytesIO(content), map_location="cpu", weights_only=True))
    except (RuntimeError, pickle.UnpicklingError, EOFError, TypeError, AttributeError):
        raise DataError(
            f"{weights or PT_INCEPTION.name}: holds no weights of pytorch-fid's Inception network"
        ) from None
    network.fc = nn.Identity()
    return network.to(device).eval().requires_grad_(False)


def build() -> nn.Module:
    """The Inception of torchvision with clean-fid's blocks where TensorFlow's differs; random weights."""
    blocks = clean_fid("inception_pytorch")
    from torchvision.models import inception_v3

    network: nn.Module = inception_v3(weights=None, num_classes=_CLASSES, aux_logits=False, init_weights=False)
    network.Mixed_5b = blocks.FIDInceptionA(192, pool_features=32)
    network.Mixed_5c = blocks.FIDInceptionA(256, pool_features=64)
    network.Mixed_5d = blocks.FIDInceptionA(288, pool_features=64)
    network.Mixed_6b = blocks.FIDInceptionC(768, channels_7x7=128)
    network.Mixed_6c = blocks.FIDInceptionC(768, channels_7x7=160)
    network.Mixed_6d = blocks.FIDInceptionC(768, channels_7x7=160)
    network.Mixed_6e = blocks.FIDInceptionC(768, channels_7x7=192)
    network.Mixed_7b = blocks.FIDInceptionE_1(1280)
    network.Mixed_7c = blocks.FIDInceptionE_2(2048)
    return network
