"""What metrics in the features of an extractor of choice share."""

from __future__ import annotations

from abc import ABC
from typing import TYPE_CHECKING

from pixelflow.core.interfaces import Extractor, Metric
from pixelflow.core.spec import AnyExtractor


class InFeatures(Metric, ABC):
    """A metric in the features of any extractor, which its title names: values of different ones do not compare."""

    class Params(Metric.Params):
        if TYPE_CHECKING:  # each declares it behind its type, as specs are read
            extractor: AnyExtractor

    params: Params

    @property
    def title(self) -> str:
        return f"{self.type_name()}, {self.params.extractor.component.type_name()}"

    @property
    def extractor(self) -> Extractor.Params:
        return self.params.extractor
