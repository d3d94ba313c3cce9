"""Whether generated images are as bright as real ones."""

from __future__ import annotations

from typing import Literal

import torch

from pixelflow.core.interfaces import Comparison, ImageSource, Metric


class Brightness(Metric):
    """Difference of the mean brightness, and of its deviation from image to image; 0 is best."""

    class Params(Metric.Params):
        type: Literal["acme.brightness"] = "acme.brightness"

    def compute(self, images: Comparison) -> dict[str, float]:
        mean, deviation = self._brightness(images.generated)
        real_mean, real_deviation = self._brightness(images.reference)
        return {"brightness": abs(mean - real_mean), "brightness_deviation": abs(deviation - real_deviation)}

    def _brightness(self, source: ImageSource) -> tuple[float, float]:
        values = torch.cat([batch.images.to(self.device).mean((1, 2, 3)) for batch in source])
        return float(values.mean()), float(values.std(correction=0))
