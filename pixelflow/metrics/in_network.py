"""What metrics in the features of a published network share."""

from __future__ import annotations

from abc import ABC
from typing import ClassVar

from pixelflow.core.component import Settings
from pixelflow.core.interfaces import Extractor, Metric


class OfNetwork(Settings):
    """Which network, for the settings of all that uses it."""

    @property
    def note(self) -> str:
        """For a metric's title: what makes its figures incomparable to those of other settings."""
        return ""


class InNetwork(Metric, ABC):
    """A metric in the features of one network; settings that both have are handed on to the extractor."""

    network: ClassVar[type[Extractor]]

    class Params(OfNetwork, Metric.Params):
        pass

    params: Params

    @property
    def title(self) -> str:
        return f"{self.type_name()}{self.params.note}"

    @property
    def extractor(self) -> Extractor.Params:
        own, theirs = type(self.params).model_fields, self.network.Params.model_fields
        shared = {name: getattr(self.params, name) for name in theirs if name in own and name != "type"}
        return self.network.Params(**shared)
