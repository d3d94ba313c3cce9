"""What a check needs beside the component that it checks: built-in components, and images to compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from pixelflow.core import plugins
from pixelflow.core.fields import CAPTION
from pixelflow.core.interfaces import Array, BadSample, Dataset, Extractor, ImageSource, Sample
from pixelflow.core.registry import registry


def built_in(kind: str, name: str, **wiring: Any) -> Any:
    """A registered component with its default settings."""
    plugins.load()
    return registry.of_kind(kind)[name].cls.Params().build(**wiring)


class WithField(Dataset):
    """A data set whose samples also have a field, of a few values in turn."""

    def __init__(self, dataset: Dataset, name: str, values: Sequence[object]) -> None:
        super().__init__(dataset.params)
        self._dataset, self._name, self._values = dataset, name, values
        self.classes = dataset.classes

    def __len__(self) -> int:
        return len(self._dataset)

    def sample(self, index: int, generator: torch.Generator) -> Sample | BadSample:
        sample = self._dataset.sample(index, generator)
        if isinstance(sample, BadSample):
            return sample
        value = self._values[index % len(self._values)]
        if self._name == CAPTION.name:
            return replace(sample, caption=str(value))
        return replace(sample, fields={**sample.fields, self._name: value})


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
