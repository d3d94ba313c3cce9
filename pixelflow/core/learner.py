"""A model as an objective sees it (see `interfaces.Network`)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pixelflow.core.condition import Condition
from pixelflow.core.model import FlowModel
from pixelflow.core.query import Output
from pixelflow.core.work import Answer, Work


class Learner(nn.Module):
    """The network that is trained, asked for a work's velocities in one evaluation."""

    def __init__(self, model: FlowModel) -> None:
        super().__init__()
        self.model = model

    @property
    def tap_widths(self) -> Sequence[int]:
        return self.model.backbone.tap_widths

    def forward(
        self,
        work: Work,
        *,
        until: Sequence[Tensor] | None = None,
        taps: Sequence[int] = (),
        guidance: float | None = None,
    ) -> Answer:
        order = torch.cat([group.members for group in work.groups])
        prepared = [own[order] for own in self.conditions(work)]
        velocities, features = (
            self._evaluated(work, prepared, until, taps)
            if guidance is None
            else self._guided(work, prepared, until, taps, guidance)
        )
        kept = dict(zip(taps, features, strict=True))
        return Answer(work, [velocity.float() for velocity in velocities], kept, self.model.cascade.clean_estimate)

    def conditions(self, work: Work) -> Sequence[Tensor]:
        """What its conditioners made of the batch's fields: one (b ...) each."""
        return work.conditions

    def _evaluated(
        self,
        work: Work,
        condition: Condition | Sequence[Tensor],
        until: Sequence[Tensor] | None,
        taps: Sequence[int],
        copies: int = 1,
    ) -> Output:
        states, stages, tau = zip(*((group.states, group.stage, group.tau) for group in work.groups), strict=True)
        later = None if until is None else [*until] * copies
        return self.model.evaluate(states * copies, stages * copies, tau * copies, condition, later, taps)

    def _guided(
        self,
        work: Work,
        prepared: Sequence[Tensor],
        until: Sequence[Tensor] | None,
        taps: Sequence[int],
        weight: float,
    ) -> Output:
        """Velocities led away from the null condition, from one evaluation of both; features under the condition."""
        count, groups = sum(len(group.members) for group in work.groups), len(work.groups)
        conditional, null = self.model.condition(prepared), self.model.condition(self.model.null(count))
        pair = Condition.batched([null, conditional])
        both, features = self._evaluated(work, pair, until, taps, copies=2)
        guided = [away + weight * (towards - away) for away, towards in zip(both[:groups], both[groups:], strict=True)]
        return Output(guided, [maps[groups:] for maps in features])


class FrozenLearner(Learner):
    """A second network: never trained, always in evaluation mode, without gradients."""

    def __init__(self, model: FlowModel) -> None:
        super().__init__(model)
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> FrozenLearner:
        super().train(False)
        return self

    def conditions(self, work: Work) -> Sequence[Tensor]:
        return work.teacher_conditions

    @torch.no_grad()
    def forward(
        self,
        work: Work,
        *,
        until: Sequence[Tensor] | None = None,
        taps: Sequence[int] = (),
        guidance: float | None = None,
    ) -> Answer:
        return super().forward(work, until=until, taps=taps, guidance=guidance)
