"""The model: a backbone with its conditioners, in a cascade, with a meaning for its output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from einops import rearrange
from torch import Tensor, nn

from pixelflow.core.cascade import Cascade
from pixelflow.core.condition import Condition
from pixelflow.core.fields import field_of
from pixelflow.core.interfaces import Backbone, Conditioner, Prediction
from pixelflow.core.query import Output, Query
from pixelflow.core.schedule import Stage
from pixelflow.system.errors import DataError, UsageError


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
        self,
        images: Sequence[Tensor],
        stages: Sequence[Stage],
        tau: Sequence[Tensor],
        condition: Condition | Sequence[Tensor],
        until: Sequence[Tensor] | None = None,
    ) -> list[Tensor]:
        """Velocities of a packed batch.

        Args:
            images: one group of states (b_i c h_i w_i) a stage.
            stages: the groups' stages.
            tau: one (b_i) a group.
            condition: of all images, in the groups' order: prepared values (b ...), one tensor a conditioner, or what
                `condition` made of them before.
            until: one (b_i) a group, later times of the same stage: mean velocities up to these are asked for.

        Returns:
            one (b_i c h_i w_i) a group.

        Raises:
            UsageError: the backbone takes no second time.
        """
        return self.evaluate(images, stages, tau, condition, until).groups

    def evaluate(
        self,
        images: Sequence[Tensor],
        stages: Sequence[Stage],
        tau: Sequence[Tensor],
        condition: Condition | Sequence[Tensor],
        until: Sequence[Tensor] | None = None,
        taps: Sequence[int] = (),
    ) -> Output:
        """Velocities as `forward` gives them, with the hidden features that are asked for.

        Raises:
            UsageError: the backbone takes no second time, or has no such tap.
        """
        if until is not None or taps:
            self._refuse_what_is_not_supported(until is not None, taps)
        if not isinstance(condition, Condition):
            condition = self.condition(condition)
        time = torch.cat([stage.network_time(t) for stage, t in zip(stages, tau, strict=True)])
        later = None
        if until is not None:
            later = torch.cat([stage.network_time(t) for stage, t in zip(stages, until, strict=True)])
        numbers = [stage.index for stage in stages]
        outputs, features = self.backbone(Query(images, numbers, time, condition, later, taps))
        with torch.autocast(time.device.type, enabled=False):  # arithmetic on states stays exact
            velocities = [
                self.prediction.velocity(output.to(x.dtype), x, rearrange(t, "b -> b 1 1 1"), stage, self.cascade.blur)
                for output, x, t, stage in zip(outputs, images, tau, stages, strict=True)
            ]
        return Output(velocities, features)

    def _refuse_what_is_not_supported(self, until: bool, taps: Sequence[int]) -> None:
        widths = self.backbone.tap_widths
        if until and not self.backbone.takes_until:
            raise UsageError(
                f"the backbone {self.backbone.type_name()} takes no second time, which is asked of it; "
                "see whether it has a setting 'until'"
            )
        beyond = [tap for tap in taps if not 0 <= tap < len(widths)]
        if beyond:
            has = f"has taps 0 to {len(widths) - 1}" if widths else "gives no hidden features"
            raise UsageError(f"the backbone {self.backbone.type_name()} {has}, and tap {beyond[0]} is asked of it")

    def prepare(self, values: Mapping[str, Sequence[object]], drop: Tensor | None = None) -> list[Tensor]:
        """Values by field to one tensor a conditioner, on the model's device.

        Args:
            values: field -> one value an image; see `pixelflow.core.fields`.
            drop: (b), true where the condition is replaced by the null condition.

        Returns:
            one (b ...) a conditioner.

        Raises:
            DataError: a conditioner reads a field that is not among them.
        """
        prepared = []
        for conditioner in self.conditioners:
            if conditioner.reads not in values:
                what = field_of(conditioner.reads).many
                raise DataError(f"{conditioner.type_name()} reads {what}, which the data do not have")
            tensor = conditioner.prepare(values[conditioner.reads])
            if drop is not None and drop.any():
                mask = rearrange(drop.cpu(), "b -> b" + " 1" * (tensor.ndim - 1))
                tensor = torch.where(mask, conditioner.null(len(tensor)), tensor)
            prepared.append(tensor.to(self.device, non_blocking=True))
        return prepared

    def null(self, count: int) -> list[Tensor]:
        """What `prepare` gives for `count` images without a condition: one (count ...) a conditioner."""
        return [conditioner.null(count).to(self.device, non_blocking=True) for conditioner in self.conditioners]

    def condition(self, prepared: Sequence[Tensor | None], context: Condition | None = None) -> Condition:
        """Prepared values (b ...), one tensor a conditioner, to the condition of b images: vectors add up, contexts lie
        one behind the other. `forward` does this itself; a sampler, which evaluates many times, does it once.

        Args:
            prepared: None for a conditioner that takes no part.
            context: goes behind what the conditioners give.
        """
        asked = zip(self.conditioners, prepared, strict=True)
        parts = [conditioner(values) for conditioner, values in asked if values is not None]
        parts += [] if context is None else [context]
        vectors = [part.vector for part in parts if part.vector is not None]
        tokens = [part.tokens for part in parts if part.tokens is not None]
        masks = [part.mask for part in parts if part.mask is not None]
        return Condition(
            vector=torch.stack(vectors).sum(0) if vectors else None,
            tokens=torch.cat(tokens, dim=1) if tokens else None,
            mask=torch.cat(masks, dim=1) if masks else None,
        )
