"""clean-fid's comparison of two folders, with an extractor of choice in place of its Inception network."""

from __future__ import annotations

from typing import Literal

from pydantic import field_validator

from pixelflow.core.interfaces import Extractor, Metric
from pixelflow.core.spec import AnyExtractor
from pixelflow.metrics.clean_resized import CleanResized
from pixelflow.metrics.frechet import AgainstHalves
from pixelflow.metrics.inception import InceptionFile
from pixelflow.metrics.pixels import CleanFidMode


class CleanFid(AgainstHalves):
    """The number of ``cleanfid.fid.compute_fid(..., custom_feat_extractor=...)`` on the same images; never FID.

    It is given beside the same number for two halves of the real data, where there are such data and not only
    statistics of them. With the Inception network it is the metric ``fid``.
    """

    class Params(Metric.Params):
        type: Literal["clean_fid"] = "clean_fid"
        extractor: AnyExtractor = "random_conv"  # type: ignore[assignment]
        """Features in which the distributions are compared."""
        mode: CleanFidMode = "clean"
        """clean-fid's own name for how it resizes."""

        @field_validator("extractor")
        @classmethod
        def _is_custom(cls, extractor: Extractor.Params) -> Extractor.Params:
            if isinstance(extractor, InceptionFile):
                raise ValueError("resizes images itself; the metric for it is fid")
            return extractor

    params: Params

    @property
    def title(self) -> str:
        return f"{self.type_name()} {self.params.mode}, {self.params.extractor.component.type_name()}"

    @property
    def extractor(self) -> CleanResized.Params:
        return CleanResized.Params(extractor=self.params.extractor, mode=self.params.mode)

    @property
    def protocol(self) -> str:
        return f"clean-fid, mode {self.params.mode}, custom features"
