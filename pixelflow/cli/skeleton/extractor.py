"""Features that are the image itself, made small."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from pixelflow.core.interfaces import Extractor


class Thumbnail(Extractor):
    """The brightness of an image, averaged over ``side`` x ``side`` areas."""

    class Params(Extractor.Params):
        type: Literal["acme.thumbnail"] = "acme.thumbnail"
        side: int = Field(default=4, ge=1)
        """Pixels along each side of the thumbnail."""

    params: Params

    def features(self, images: Tensor) -> Tensor:
        grey = images.to(self.device).mean(1, keepdim=True)
        return F.adaptive_avg_pool2d(grey, self.params.side).flatten(1)
