"""What images are to show, image by image, and the condition that a model makes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pixelflow.core.condition import Condition
from pixelflow.core.fields import CAPTION, field_of
from pixelflow.core.model import FlowModel
from pixelflow.system.errors import UsageError


@dataclass(frozen=True)
class Prompt:
    """The fields of `count` images; what is left out is left to the null condition."""

    count: int
    values: Mapping[str, Sequence[object]] = field(default_factory=dict)
    """Field -> one value an image."""
    context: Condition | None = None
    """The captions' tokens (b m context_dim), in place of what a text encoder would make of them."""
    towards: Prompt | None = None
    """Others as many, on the way to which the images are."""
    shares: Sequence[float] = ()
    """How far each image is, from 0 to 1."""

    def __post_init__(self) -> None:
        for name, column in self.values.items():
            if len(column) != self.count:
                raise UsageError(f"{self.count} images need {self.count} {field_of(name).many}, not {len(column)}")

    def part(self, rows: slice) -> Prompt:
        """The prompt of some of the images."""
        values = {name: column[rows] for name, column in self.values.items()}
        context = self.context.at(rows) if self.context else None
        towards = self.towards.part(rows) if self.towards else None
        return Prompt(len(range(self.count)[rows]), values, context, towards, self.shares[rows])

    def condition(self, model: FlowModel) -> Condition:
        """The condition of all the images; raises UsageError for values that a conditioner does not know."""
        device, prepared = model.device, list[Tensor | None]()
        for conditioner in model.conditioners:
            if self.context is not None and conditioner.reads == CAPTION.name:
                prepared.append(None)
                continue
            values = self.values.get(conditioner.reads)
            given = conditioner.null(self.count) if values is None else conditioner.prepare(values)
            prepared.append(given.to(device))
        own = model.condition(prepared, self.context)
        if self.towards is None:
            return own
        return Condition.between(own, self.towards.condition(model), torch.tensor(self.shares))


def condition_for(prompt: Prompt, model: FlowModel, count: int) -> Condition:
    """The condition of `count` images; a prompt of one image, encoded once, holds for all of them."""
    condition = prompt.condition(model)
    same = torch.zeros(count, dtype=torch.long, device=model.device)
    return condition.at(same) if prompt.count == 1 != count else condition


def context(embeddings: Tensor, mask: Tensor | None, count: int, model: FlowModel) -> Condition:
    """Token embeddings (b n d) of `count` captions, or of one for all of them, as a condition.

    Args:
        mask: (b n), other than 0 where a token counts; by default everywhere.

    Raises:
        UsageError: the shapes fit neither each other nor `count`.
    """
    if mask is None:
        mask = torch.ones(embeddings.shape[:-1])
    if embeddings.ndim != 3 or mask.shape != embeddings.shape[:-1]:
        raise UsageError(
            f"embeddings must be (b n d) and their mask (b n), not {tuple(embeddings.shape)} and {tuple(mask.shape)}"
        )
    if len(embeddings) not in (1, count):
        raise UsageError(f"{count} images need {count} captions, not {len(embeddings)}")
    tokens = embeddings.to(model.device, torch.float32).expand(count, -1, -1)
    return Condition(tokens=tokens, mask=mask.to(model.device).bool().expand(count, -1))
