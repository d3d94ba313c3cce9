"""How often an independent classifier sees in a generated image what it was generated to show."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from pixelflow.core.interfaces import Comparison, ImageSource, Metric
from pixelflow.metrics.asked import asked
from pixelflow.metrics.splits import halves, some_of_each
from pixelflow.system.errors import DataError

Pixels = NDArray[np.float32]
Labels = NDArray[np.int64]


class LabelAgreement(Metric):
    """Share of generated images to which a support vector machine gives the label they were generated for.

    The classifier (RBF kernel on pixels) is fitted on half of the real images, drawn at random by a fixed seed and
    balanced over the labels; its accuracy on the other half says how far to trust it.
    """

    figures = ("agreement", "accuracy_on_real")
    higher_is_better = True
    bounds = (0.0, 1.0)

    class Params(Metric.Params):
        type: Literal["label_agreement"] = "label_agreement"
        side: int = Field(default=8, ge=1)
        """Images are averaged down to this many pixels on the longer side."""
        fit_images: int = Field(default=5000, ge=2)
        """At most so many real images of the half are fitted, of every label its share; time grows with the square."""

    params: Params

    def compute(self, images: Comparison) -> dict[str, float]:
        from sklearn.svm import SVC

        pixels, labels, known = self._read(images.reference, "real")
        shown, own, classes = self._read(images.generated, "generated")
        wanted = asked(own.tolist(), classes, known, "the real images")
        fitted, tested = halves(len(labels), labels)
        fitted = fitted[some_of_each(labels[fitted], self.params.fit_images)]
        if len(np.unique(labels[fitted])) < 2 or not len(tested):
            raise DataError("label_agreement needs real images of at least two classes, and two images of each")
        classifier = SVC(gamma="scale").fit(pixels[fitted], labels[fitted])
        return {
            "agreement": float(classifier.score(shown[wanted >= 0], wanted[wanted >= 0])),
            "accuracy_on_real": float(classifier.score(pixels[tested], labels[tested])),
        }

    def _read(self, source: ImageSource, what: str) -> tuple[Pixels, Labels, tuple[str, ...]]:
        """Pixels (n d), labels (n) and the names of these."""
        pixels: list[Tensor] = []
        labels: list[int] = []
        classes: tuple[str, ...] = ()
        for batch in source:
            if batch.labels is None:
                raise DataError(f"label_agreement needs labels, and the {what} images have none; remove this metric")
            pixels.append(self._reduced(batch.images))
            labels.extend(batch.labels)
            classes = batch.classes
        return torch.cat(pixels).numpy(), np.array(labels), classes

    def _reduced(self, images: Tensor) -> Tensor:
        """(b c h w) -> (b d)"""
        longer = max(images.shape[-2:])
        if longer > self.params.side:
            size = [max(1, round(length * self.params.side / longer)) for length in images.shape[-2:]]
            images = F.interpolate(images, size, mode="area")
        return images.flatten(1)
