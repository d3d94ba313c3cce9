"""How often a generated image of shapes shows what its caption says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from torch import Tensor

from pixelflow.core.interfaces import Comparison, ImageSource, Metric
from pixelflow.data.shapes.judge import scores
from pixelflow.system.errors import DataError


class ShapesJudge(Metric):
    """Share of right images by task, and the mean over the tasks, as GenEval scores (arXiv 2310.11513).

    Made for the captions of the data set ``shapes``: evaluate with ``data.split=test`` for combinations that training
    never showed.
    """

    higher_is_better = True
    bounds = (0.0, 1.0)

    class Params(Metric.Params):
        type: Literal["shapes_judge"] = "shapes_judge"

    params: Params

    def compute(self, images: Comparison) -> dict[str, float]:
        return scores(_captioned(images.generated))


def _captioned(source: ImageSource) -> Iterator[tuple[Tensor, str]]:
    for batch in source:
        if batch.captions is None:
            raise DataError("shapes_judge needs the captions that the images were generated from")
        yield from zip(batch.images, batch.captions, strict=True)
