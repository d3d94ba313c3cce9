"""Principal components of the real images' pixels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from pixelflow.core.interfaces import Extractor
from pixelflow.system.errors import DataError

_ROWS = 2048


class PixelsPca(Extractor):
    """Projections on the directions in which real pixels vary most: exact and cheap, right for small images."""

    class Params(Extractor.Params):
        type: Literal["pixels_pca"] = "pixels_pca"
        components: int = Field(default=32, ge=1)
        """Directions that are kept."""
        side: int = Field(default=32, ge=1)
        """Larger images are first averaged down to this many pixels on the longer side."""

    params: Params

    def __init__(self, params: Params, *, device: torch.device) -> None:
        super().__init__(params, device=device)
        self._mean = torch.empty(0)
        self._directions = torch.empty(0)

    def fit(self, images: Iterable[Tensor]) -> None:
        count, total, products = 0, torch.tensor(0.0), torch.tensor(0.0)
        for pixels in self._blocks(images):
            count, total, products = count + len(pixels), total + pixels.sum(0), products + pixels.mT @ pixels
        if count <= self.params.components:
            raise DataError(f"{self.params.components} principal components need more images than {count}")
        self._mean = total / count
        covariance = products / count - torch.outer(self._mean, self._mean)
        if len(covariance) < self.params.components:
            raise DataError(f"images of {len(covariance)} values have no {self.params.components} principal components")
        self._directions = self._largest(covariance)

    def features(self, images: Tensor) -> Tensor:
        return (self._pixels(images) - self._mean) @ self._directions

    def _largest(self, covariance: Tensor) -> Tensor:
        """Eigenvectors (d k) of the k largest eigenvalues; by SciPy, since torch computes all d of them."""
        from scipy.linalg import eigh

        wanted = [len(covariance) - self.params.components, len(covariance) - 1]
        _, vectors = eigh(covariance.cpu().numpy(), subset_by_index=wanted)
        return torch.from_numpy(vectors).to(self.device)

    def _blocks(self, images: Iterable[Tensor]) -> Iterator[Tensor]:
        """The batches joined to (n c*h*w) of at least 2048 rows, but for the last: small products are slow."""
        parts: list[Tensor] = []
        for batch in images:
            parts.append(self._pixels(batch))
            if sum(map(len, parts)) >= _ROWS:
                yield torch.cat(parts)
                parts = []
        if parts:
            yield torch.cat(parts)

    def _pixels(self, images: Tensor) -> Tensor:
        """(b c h w) -> (b c*h*w), float64"""
        images = images.to(self.device, torch.float64)
        longer = max(images.shape[-2:])
        if longer > self.params.side:
            size = [max(1, round(length * self.params.side / longer)) for length in images.shape[-2:]]
            images = F.interpolate(images, size, mode="area")
        return images.flatten(1)
