"""An extractor behind clean-fid's resizing (Parmar et al., arXiv 2104.11222)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor

from pixelflow.core.interfaces import Extractor
from pixelflow.core.spec import AnyExtractor
from pixelflow.metrics.pixels import CleanFidMode, clean_fid, resized_by_clean_fid


class CleanResized(Extractor):
    """Images rounded to 8 bits and resized to 299 pixels as clean-fid does, before another extractor sees them."""

    class Params(Extractor.Params):
        type: Literal["clean_resized"] = "clean_resized"
        extractor: AnyExtractor = "random_conv"  # type: ignore[assignment]
        """What sees the resized images."""
        mode: CleanFidMode = "clean"
        """clean-fid's own name for how it resizes."""

        @property
        def identity(self) -> dict[str, object]:
            return {**self.model_dump(mode="json"), "extractor": self.extractor.identity}

    params: Params

    def __init__(self, params: Params, *, device: torch.device) -> None:
        super().__init__(params, device=device)
        self._extractor: Extractor = params.extractor.build(device=device)

    @property
    def weights_sha256(self) -> str | None:
        return self._extractor.weights_sha256

    def prepare(self) -> None:
        clean_fid("resize")
        self._extractor.prepare()

    def fit(self, images: Iterable[Tensor]) -> None:
        self._extractor.fit(self._resized(batch) for batch in images)

    def features(self, images: Tensor) -> Tensor:
        return self._extractor.features(self._resized(images))

    def _resized(self, images: Tensor) -> Tensor:
        return resized_by_clean_fid(images, self.params.mode) / 127.5 - 1
