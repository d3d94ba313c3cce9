"""The Inception network of FID, read from the one file that holds all of its layers, and images as it wants them."""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from pixelflow.core.interfaces import Extractor
from pixelflow.metrics.in_network import OfNetwork
from pixelflow.metrics.pixels import clean_fid, resized_by_clean_fid, resized_by_tensorflow, to_8_bits
from pixelflow.system.errors import DataError
from pixelflow.system.pretrained import Published, read_file

INCEPTION = Published(
    "inception-2015-12-05.pt",
    "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/inception-2015-12-05.pt",
    "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4",
)
"""TensorFlow's network of 2015-12-05 as TorchScript: the file that clean-fid downloads."""

SIDE = 299
"""Pixels along each side of the images that it takes."""

_OWNER = "the Inception network"

_SPATIAL_CHANNELS = 7
SPATIAL = _SPATIAL_CHANNELS * 17 * 17
"""Values of mixed_6/conv that the ADM evaluator takes: the first channels, at all places."""


class InceptionFile(OfNetwork):
    """Where the network lies, for the settings of all that uses it."""

    weights: Path | None = None
    """The file inception-2015-12-05.pt; by default in the folder PIXELFLOW_WEIGHTS, else in ~/.cache/pixelflow."""
    sha256: str = Field(default=INCEPTION.sha256, pattern="^[0-9a-f]{64}$")
    """Hash of that file, which holds code and is not opened unless the hash is this one."""

    @property
    def note(self) -> str:
        return "" if self.sha256 == INCEPTION.sha256 else f", weights {self.sha256[:8]}"


class ResizedByCleanFid(InceptionFile):
    """The network on images that clean-fid resizes."""

    mode: Literal["clean", "legacy_tensorflow"] = "clean"
    """clean-fid's name for how images are resized; numbers of two modes must not be compared."""

    @property
    def note(self) -> str:
        return f", {self.mode}{super().note}"

    @property
    def protocol(self) -> str:
        """Whose definition figures by these settings follow."""
        return f"clean-fid, mode {self.mode}"


class Inception:
    """The network on a device: 8-bit values (b 3 299 299) to the layers that metrics use."""

    def __init__(self, script: torch.jit.ScriptModule) -> None:
        self._layers: nn.Module = script.layers
        self._first_branch: nn.Module = script.layers.mixed_6.conv
        self.classifier: Tensor = script.output.weight.detach()
        """(classes d): the last layer without its bias, from pool_3 to logits."""

    @torch.no_grad()
    def __call__(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """pool_3 (b d), and the first channels of mixed_6/conv (b y*x*c) in TensorFlow's order."""
        x = (values - 128) / 128
        spatial = x
        for name, layer in self._layers.named_children():
            if name == "mixed_6":
                spatial = self._first_branch(x)[:, :_SPATIAL_CHANNELS]
            x = layer(x)
        return x.flatten(1), spatial.permute(0, 2, 3, 1).flatten(1)


def read_inception(file: InceptionFile, device: torch.device) -> Inception:
    """The network, kept for the next that asks.

    Raises:
        MissingDependencyError: the file is not there.
        DataError: it is another one, or not TorchScript of such a network.
    """
    return _read(file.weights, file.sha256, device)


@lru_cache(maxsize=1)
def _read(weights: Path | None, sha256: str, device: torch.device) -> Inception:
    content = read_file(INCEPTION, weights, sha256, _OWNER)
    try:
        return Inception(torch.jit.load(io.BytesIO(content), map_location=device).eval())
    except (RuntimeError, AttributeError) as error:
        raise DataError(
            f"{_OWNER}: {weights or INCEPTION.name} holds no Inception ({str(error).splitlines()[0]})"
        ) from None


class InceptionPool(Extractor):
    """The 2048 values of pool_3, for FID and KID as clean-fid measures them."""

    class Params(InceptionFile, Extractor.Params):
        type: Literal["inception"] = "inception"
        mode: Literal["clean", "legacy_tensorflow"] = "clean"
        """How images become 299 pixels wide: clean-fid's antialiased bicubic, or as in TensorFlow's own graph."""

        @property
        def identity(self) -> dict[str, object]:
            return self.model_dump(mode="json", exclude={"weights"})

        @property
        def adm_keys(self) -> tuple[tuple[str, str], ...]:
            return (("mu", "sigma"),) if self.mode == "legacy_tensorflow" else ()

    params: Params

    @property
    def weights_sha256(self) -> str:
        return self.params.sha256

    def prepare(self) -> None:
        read_inception(self.params, self.device)
        if self.params.mode == "clean":
            clean_fid("resize")

    def features(self, images: Tensor) -> Tensor:
        network = read_inception(self.params, self.device)
        if self.params.mode == "clean":
            values = resized_by_clean_fid(images).to(self.device)
        else:
            values = resized_by_tensorflow(to_8_bits(images.to(self.device)), SIDE)
        pool, _ = network(values)
        return pool
