"""How often a classifier trained on the reference data sees in a generated image what it was generated to show."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from pixelflow.core.interfaces import Comparison, ImageSource, Metric
from pixelflow.metrics.asked import asked
from pixelflow.metrics.classifier import ClassifierFeatures, read
from pixelflow.system.errors import DataError


class ClassifierAgreement(Metric):
    """Share of generated images to which the classifier gives the label they were generated for.

    Its accuracy on real images that it was not trained on, measured when it was trained, says how far to trust it.
    """

    figures = ("agreement", "accuracy_on_real")
    higher_is_better = True
    bounds = (0.0, 1.0)

    class Params(Metric.Params):
        type: Literal["classifier_agreement"] = "classifier_agreement"
        weights: Path
        """The file that ``pixelflow train-extractor`` wrote; a relative path starts at the current directory."""

    params: Params

    @property
    def extractor(self) -> ClassifierFeatures.Params:
        return ClassifierFeatures.Params(weights=self.params.weights)

    def compute(self, images: Comparison) -> dict[str, float]:
        features = images.generated_features(self.extractor)
        classifier = read(self.params.weights.expanduser(), self.device)
        given = classifier.labels(torch.from_numpy(features).float().to(self.device)).cpu()
        wanted = _asked(images.generated, classifier.about.classes)
        return {
            "agreement": float((given == wanted)[wanted >= 0].double().mean()),
            "accuracy_on_real": classifier.about.accuracy,
        }


def _asked(source: ImageSource, known: tuple[str, ...]) -> Tensor:
    """The classifier's label of what each image is to show; -1 where it does not know the class."""
    labels: list[int] = []
    classes: tuple[str, ...] = ()
    for batch in source:
        if batch.labels is None:
            raise DataError("classifier_agreement needs labels, and the generated images have none; remove this metric")
        labels.extend(batch.labels)
        classes = batch.classes
    return torch.from_numpy(asked(labels, classes, known, "the classifier's images"))
