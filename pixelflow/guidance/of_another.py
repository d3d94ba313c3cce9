"""What guidance that changes when or how often another one is asked shares."""

from __future__ import annotations

from abc import ABC
from typing import TYPE_CHECKING

from pixelflow.core.interfaces import Guidance
from pixelflow.core.problems import problem


class OfAnother(Guidance, ABC):
    """Guidance around the one in its setting `guidance`, whose branches it needs."""

    class Params(Guidance.Params):
        if TYPE_CHECKING:  # each declares it, with its own default
            guidance: Guidance.Params

        def check(self, stages: int) -> None:
            problem.within(("guidance",), self.guidance.check, stages)

    params: Params

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        self._inner: Guidance = params.guidance.build()

    @property
    def uses_null(self) -> bool:
        return self._inner.uses_null

    @property
    def uses_weak(self) -> bool:
        return self._inner.uses_weak
