"""A kind of the plugin's own: how an image becomes its small copy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from pixelflow.contracts.checking import expect_like
from pixelflow.core.component import Component, ComponentParams


class Lowering(Component, ABC):
    """Lowers the resolution by a whole factor. Built with nothing."""

    kind = "superres.lowering"

    class Params(ComponentParams):
        pass

    @abstractmethod
    def __call__(self, image: Tensor, factor: int) -> Tensor:
        """(c h w) to (c h/factor w/factor)."""


class Mean(Lowering):
    """Every pixel is the mean of factor x factor."""

    class Params(Lowering.Params):
        type: Literal["superres.mean"] = "superres.mean"

    def __call__(self, image: Tensor, factor: int) -> Tensor:
        return F.avg_pool2d(image, factor)


def lowers(params: Lowering.Params) -> None:
    """The copy is smaller by the factor, and finite."""
    expect_like(params.build()(torch.rand(3, 8, 12), 4), (3, 2, 3), torch.float32, "the copy")
