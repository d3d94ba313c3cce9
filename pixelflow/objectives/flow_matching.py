"""Flow matching over the stages of a cascade (PixelFlow, arXiv 2504.07963, Eq 5)."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from pixelflow.core.interfaces import Network, Objective, Term, Weighting
from pixelflow.core.problems import problem
from pixelflow.core.slots import Slot
from pixelflow.core.work import Work

AnyWeighting = Annotated[Weighting.Params, Slot("weighting")]
AnyTerm = Annotated[Term.Params, Slot("term")]


class FlowMatching(Objective):
    """The squared error of the velocity, weighted by time, and further terms beside it."""

    class Params(Objective.Params):
        type: Literal["flow_matching"] = "flow_matching"
        weighting: AnyWeighting = Field(default="none")  # type: ignore[assignment]
        """How much the error counts, by time."""
        terms: tuple[AnyTerm, ...] = Field(default=())
        """Losses beside that on the velocity."""

        def check(self, stages: int) -> None:
            super().check(stages)
            problem.within(("weighting",), self.weighting.check, stages)

    params: Params

    def __init__(
        self, params: Params, *, network: Network, second: Network | None = None, device: torch.device
    ) -> None:
        super().__init__(params, network=network, second=second, device=device)
        widths = self.network.tap_widths
        self.weighting: Weighting = params.weighting.build()
        self.terms = nn.ModuleList(term.build(device=device, tap_widths=widths) for term in params.terms)
        self.taps = sorted({tap for term in self.terms if isinstance(term, Term) for tap in term.taps})

    def forward(self, work: Work) -> list[Tensor]:
        answer = self.network(work, taps=self.taps)
        losses = [
            self.weighting.weights(group.tau, group.stage) * (velocity - group.targets).square().mean(dim=(1, 2, 3))
            for velocity, group in zip(answer.velocities, work.groups, strict=True)
        ]
        for term, params in zip(self.terms, self.params.terms, strict=True):
            losses = [loss + params.scale * own for loss, own in zip(losses, term(answer), strict=True)]
        return losses
