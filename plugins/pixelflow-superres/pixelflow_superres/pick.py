"""A small copy of an image that takes one of its pixels for many."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from pixelflow_superres.lowering import Lowering


class Pick(Lowering):
    """Every pixel is one of factor x factor, as in a picture that was lowered without care; it aliases."""

    class Params(Lowering.Params):
        type: Literal["superres.pick"] = "superres.pick"

    def __call__(self, image: Tensor, factor: int) -> Tensor:
        return image[:, ::factor, ::factor]
