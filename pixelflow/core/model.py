"""The model: a backbone with its conditioners, in a cascade, with a meaning for its output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from pixelflow.core.cascade import Cascade
from pixelflow.core.condition import Condition
from pixelflow.core.interfaces import Backbone, Conditioner, Prediction
from pixelflow.core.schedule import Stage


class FlowModel(nn.Module):
    """Velocities of a cascade. The cascade and the prediction have no weights; the rest are submodules."""

    def __init__(
        self, cascade: Cascade, backbone: Backbone, conditioners: Sequence[Conditioner], prediction: Prediction
    ) -> None:
        super().__init__()
        self.cascade = cascade
        self.backbone = backbone
        self.conditioners: Sequence[Conditioner] = nn.ModuleList(conditioners)  # type: ignore[assignment]
        self.prediction = prediction

    @property
    def device(self) -> torch.device:
        return next(self.backbone.parameters()).device

    def forward(
        self, images: Sequence[Tensor], stages: Sequence[Stage], tau: Sequence[Tensor], condition: Condition
    ) -> list[Tensor]:
        """Velocities of a packed batch.

        Args:
            images: one group of states (b_i c h_i w_i) a stage.
            stages: the groups' stages.
            tau: one (b_i) a group.
            condition: of all images, in the groups' order.

        Returns:
            one (b_i c h_i w_i) a group.
        """
        time = torch.cat([stage.network_time(t) for stage, t in zip(stages, tau, strict=True)])
        outputs = self.backbone(images, [stage.index for stage in stages], time, condition)
        with torch.autocast(self.device.type, enabled=False):  # arithmetic on states stays exact
            return [
                self.prediction.velocity(output.to(x.dtype), x, rearrange(t, "b -> b 1 1 1"), stage, self.cascade.blur)
                for output, x, t, stage in zip(outputs, images, tau, stages, strict=True)
            ]

    def prepare(self, values: Mapping[str, Sequence[Any]], drop: Tensor | None = None) -> list[Tensor]:
        """Raw labels and captions, by field, to one tensor a conditioner, on the model's device.

        Args:
            values: field ("label", "caption") -> one value an image.
            drop: (b), true where the condition is replaced by the null condition.
        """
        prepared = []
        for conditioner in self.conditioners:
            tensor = conditioner.prepare(values[conditioner.reads])
            if drop is not None and drop.any():
                mask = rearrange(drop.cpu(), "b -> b" + " 1" * (tensor.ndim - 1))
                tensor = torch.where(mask, conditioner.null(len(tensor)), tensor)
            prepared.append(tensor.to(self.device))
        return prepared

    def null(self, count: int) -> list[Tensor]:
        """What `prepare` gives for `count` images without a condition."""
        return [conditioner.null(count).to(self.device) for conditioner in self.conditioners]

    def condition(self, prepared: Sequence[Tensor]) -> Condition:
        """Prepared values to the condition that `forward` takes."""
        parts = [conditioner(values) for conditioner, values in zip(self.conditioners, prepared, strict=True)]
        return Condition.joined(parts)
