"""What a check needs beside the component that it checks: built-in components, and images to compare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pixelflow.core import plugins
from pixelflow.core.interfaces import Array, Extractor, ImageSource
from pixelflow.core.registry import registry


def built_in(kind: str, name: str, **wiring: Any) -> Any:
    """A registered component with its default settings."""
    plugins.load()
    return registry.of_kind(kind)[name].cls.Params().build(**wiring)


@dataclass(frozen=True)
class Held:
    """A `Comparison` of few images on the CPU, whose features are extracted whenever they are asked for."""

    generated: ImageSource
    reference: ImageSource

    def features(self, extractor: Extractor.Params) -> tuple[Array, Array]:
        return self._of(self.generated, extractor), self._of(self.reference, extractor)

    def generated_features(self, extractor: Extractor.Params) -> Array:
        return self._of(self.generated, extractor)

    def reference_moments(self, extractor: Extractor.Params) -> tuple[Array, Array]:
        real = self._of(self.reference, extractor)
        return real.mean(0), np.atleast_2d(np.cov(real, rowvar=False))

    def _of(self, source: ImageSource, params: Extractor.Params) -> Array:
        extractor: Extractor = params.build(device=torch.device("cpu"))
        with torch.no_grad():
            extractor.fit(batch.images for batch in self.reference)
            return torch.cat([extractor.features(batch.images) for batch in source]).numpy().astype(np.float64)
