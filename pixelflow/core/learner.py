"""A model as an objective sees it (see `interfaces.Network`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from pixelflow.core.condition import Condition
from pixelflow.core.fields import Classes
from pixelflow.core.model import FlowModel
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
        """See `interfaces.Network`. With guidance, one evaluation has both conditions; taps see the asked one."""
        groups, model, copies = work.groups, self.model, 1 if guidance is None else 2
        order = torch.cat([group.members for group in groups])
        prepared = [own[order] for own in work.conditions]
        condition: Condition | Sequence[Tensor] = prepared
        if guidance is not None:
            condition = Condition.batched([model.condition(model.null(len(order))), model.condition(prepared)])
        states, stages, tau = zip(*((group.states, group.stage, group.tau) for group in groups), strict=True)
        later = None if until is None else [*until] * copies
        velocities, features = model.evaluate(states * copies, stages * copies, tau * copies, condition, later, taps)
        if guidance is not None:
            null, asked = velocities[: len(groups)], velocities[len(groups) :]
            velocities = [away + guidance * (towards - away) for away, towards in zip(null, asked, strict=True)]
            features = [maps[len(groups) :] for maps in features]
        kept = dict(zip(taps, features, strict=True))
        return Answer(work, [velocity.float() for velocity in velocities], kept, model.cascade.clean_estimate)


class FrozenLearner(Learner):
    """A second network: never trained, always in evaluation mode, without gradients.

    Args:
        known: the classes of its labels, where these may be others than the trained network's.
    """

    def __init__(self, model: FlowModel, known: Classes | None = None) -> None:
        super().__init__(model)
        self.known = known
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> FrozenLearner:
        super().train(False)
        return self

    @torch.no_grad()
    def forward(
        self,
        work: Work,
        *,
        until: Sequence[Tensor] | None = None,
        taps: Sequence[int] = (),
        guidance: float | None = None,
    ) -> Answer:
        own = replace(work, conditions=work.teacher_conditions)
        return replace(super().forward(own, until=until, taps=taps, guidance=guidance), work=work)
