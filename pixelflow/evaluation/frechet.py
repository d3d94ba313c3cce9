"""The Frechet distance at the images' own resolution."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

from pixelflow.core.interfaces import ImageSource, Metric
from pixelflow.core.spec import AnyExtractor
from pixelflow.evaluation import cleanfid
from pixelflow.evaluation.distances import against_halves, frechet


class Frechet(Metric):
    """Frechet distance between generated and real images in an extractor's features, without resizing them.

    Exact for few samples as well. Its value depends on the extractor, so it is given beside the distance between
    two halves of the real data; never call it FID.
    """

    class Params(Metric.Params):
        type: Literal["frechet"] = "frechet"
        extractor: AnyExtractor = "random_conv"  # type: ignore[assignment]
        """Features in which the distributions are compared."""

    params: Params

    def __init__(self, params: Params, *, device: torch.device) -> None:
        super().__init__(params)
        self._device = device

    @property
    def title(self) -> str:
        return f"{self.type_name()}, {self.params.extractor.component.type_name()}"

    def compute(self, generated: ImageSource, reference: ImageSource) -> dict[str, float]:
        extractor = self.params.extractor.build(device=self._device)
        extractor.fit(_images(reference))
        found, real = (cleanfid.features(_images(source), extractor, self._device) for source in (generated, reference))
        return against_halves(frechet, found, real)


def _images(source: ImageSource) -> Iterator[Tensor]:
    for batch in source:
        yield batch.images
