"""The features of the ADM evaluator (Dhariwal and Nichol, arXiv 2105.05233), both kinds in one pass."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor

from pixelflow.core.interfaces import Extractor, Metric
from pixelflow.metrics.inception import SIDE, SPATIAL, InceptionFile, read_inception
from pixelflow.metrics.pixels import resized_by_tensorflow, to_8_bits

POOL_PART, SPATIAL_PART = slice(None, -SPATIAL), slice(-SPATIAL, None)
"""Where in a row of features the values of pool_3 are, and those of mixed_6/conv."""


class AdmInception(Extractor):
    """The 2048 values of pool_3, then 2023 of mixed_6/conv; images are resized as in TensorFlow's own graph."""

    class Params(InceptionFile, Extractor.Params):
        type: Literal["adm_inception"] = "adm_inception"

        @property
        def identity(self) -> dict[str, Any]:
            return self.model_dump(mode="json", exclude={"weights"})

        @property
        def adm_keys(self) -> tuple[tuple[str, str], ...]:
            return ("mu", "sigma"), ("mu_s", "sigma_s")

    params: Params

    def __init__(self, params: Params, *, device: torch.device) -> None:
        super().__init__(params)
        self._device = device

    @property
    def weights_sha256(self) -> str:
        return self.params.sha256

    def prepare(self) -> None:
        read_inception(self.params, self._device)

    def fit(self, images: Iterable[Tensor]) -> None:
        """Nothing is learnt."""

    def features(self, images: Tensor) -> Tensor:
        network = read_inception(self.params, self._device)
        return torch.cat(network(resized_by_tensorflow(to_8_bits(images.to(self._device)), SIDE)), dim=1)


class AdmMetric(Metric, ABC):
    """A figure of the ADM evaluator; all of them share one pass through the network."""

    class Params(InceptionFile, Metric.Params):
        pass

    params: Params

    def __init__(self, params: Params, *, device: torch.device) -> None:
        super().__init__(params)
        self._device = device

    @property
    def title(self) -> str:
        return f"{self.type_name()}{self.params.note}"

    @property
    def protocol(self) -> str:
        return "ADM evaluator (guided-diffusion)"

    @property
    def extractor(self) -> AdmInception.Params:
        return AdmInception.Params(**self.params.file)
