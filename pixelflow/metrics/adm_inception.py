"""The features of the ADM evaluator (Dhariwal and Nichol, arXiv 2105.05233), both kinds in one pass."""

from __future__ import annotations

from abc import ABC
from typing import Literal

import torch
from torch import Tensor

from pixelflow.core.interfaces import Extractor
from pixelflow.metrics.in_network import InNetwork
from pixelflow.metrics.inception import SIDE, SPATIAL, InceptionFile, read_inception
from pixelflow.metrics.pixels import resized_by_tensorflow, to_8_bits

POOL_PART, SPATIAL_PART = slice(None, -SPATIAL), slice(-SPATIAL, None)
"""Where in a row of features the values of pool_3 are, and those of mixed_6/conv."""


class AdmInception(Extractor):
    """The 2048 values of pool_3, then 2023 of mixed_6/conv; images are resized as in TensorFlow's own graph."""

    class Params(InceptionFile, Extractor.Params):
        type: Literal["adm_inception"] = "adm_inception"

        @property
        def identity(self) -> dict[str, object]:
            return self.model_dump(mode="json", exclude={"weights"})

        @property
        def adm_keys(self) -> tuple[tuple[str, str], ...]:
            return ("mu", "sigma"), ("mu_s", "sigma_s")

    params: Params

    @property
    def weights_sha256(self) -> str:
        return self.params.sha256

    def prepare(self) -> None:
        read_inception(self.params, self.device)

    def features(self, images: Tensor) -> Tensor:
        network = read_inception(self.params, self.device)
        return torch.cat(network(resized_by_tensorflow(to_8_bits(images.to(self.device)), SIDE)), dim=1)


class AdmMetric(InNetwork, ABC):
    """A figure of the ADM evaluator; all of them share one pass through the network."""

    network = AdmInception
    protocol = "ADM evaluator (guided-diffusion)"

    class Params(InceptionFile, InNetwork.Params):
        pass

    params: Params
