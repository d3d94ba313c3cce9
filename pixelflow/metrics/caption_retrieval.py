"""Whether the real picture that looks most like a generated one is one with the caption that was asked for."""

from __future__ import annotations

from collections import Counter
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from pixelflow.core.interfaces import Array, Comparison, ImageSource
from pixelflow.core.spec import AnyExtractor
from pixelflow.metrics.distances import check_enough
from pixelflow.metrics.in_features import InFeatures
from pixelflow.system.errors import DataError

_NEAREST = 5
_ROWS = 512
"""Generated images whose distances are worked out at a time."""


class CaptionRetrieval(InFeatures):
    """Share of generated images whose nearest real one, and one of whose five nearest, has the caption asked for.

    Near is by the cosine between features. ``chance`` is what real pictures in place of the nearest, drawn by lot,
    would reach. Captions that no real picture has do not count; of a picture with several, one is read.
    """

    figures = ("top1", "top5", "chance")
    higher_is_better = True
    bounds = (0.0, 1.0)

    class Params(InFeatures.Params):
        type: Literal["caption_retrieval"] = "caption_retrieval"
        extractor: AnyExtractor = "random_conv"  # type: ignore[assignment]
        """Features in which the nearest is sought."""

    params: Params

    def compute(self, images: Comparison) -> dict[str, float]:
        asked, real = (self._captions(*side) for side in ((images.generated, "generated"), (images.reference, "real")))
        generated, reference = images.features(self.extractor)
        check_enough(len(reference), _NEAREST, f"{self.type_name()}, of the real side,")
        known = np.isin(asked, real)
        if not known.any():
            raise DataError(f"{self.type_name()}: no real picture has a caption that was asked for")
        asked = asked[known]
        hits = real[self._nearest(generated[known], reference)] == asked[:, None]
        of = Counter(real.tolist())
        return {
            "top1": float(hits[:, 0].mean()),
            "top5": float(hits.any(1).mean()),
            "chance": float(np.mean([of[caption] for caption in asked.tolist()])) / len(real),
        }

    def _captions(self, source: ImageSource, what: str) -> np.ndarray:
        captions: list[str] = []
        for batch in source:
            if batch.captions is None:
                raise DataError(
                    f"{self.type_name()} needs captions, and the {what} images have none; remove this metric"
                )
            captions.extend(batch.captions)
        return np.array(captions)

    def _nearest(self, generated: Array, reference: Array) -> np.ndarray:
        """Places (n 5) of the nearest real images (m d) of each generated one (n d), nearest first."""
        real = self._directions(reference)
        found = [(rows @ real.T).topk(_NEAREST, dim=1).indices for rows in self._directions(generated).split(_ROWS)]
        return torch.cat(found).cpu().numpy()

    def _directions(self, features: Array) -> Tensor:
        return torch.nn.functional.normalize(torch.from_numpy(features).to(self.device), dim=1)
