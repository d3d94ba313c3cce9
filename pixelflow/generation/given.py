"""What Python can give where the command line has words and numbers: embeddings of captions, and the noise itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from pixelflow.core.fields import CAPTION
from pixelflow.core.model import FlowModel
from pixelflow.core.sizes import Size
from pixelflow.core.spec import ExperimentSpec
from pixelflow.generation.draw import Request, requested
from pixelflow.generation.noise import checked_noise, noise_source
from pixelflow.generation.ordering import Wish
from pixelflow.generation.orders import Order
from pixelflow.generation.prompts import Prompt, context
from pixelflow.generation.weaker import Weaker
from pixelflow.system.errors import UsageError

Text = str | Sequence[str] | Tensor
"""Captions, or their embeddings (b n d) as the run's text encoder gives them."""


@dataclass(frozen=True)
class Given:
    """Captions and noise of a drawing, as words and seeds or as tensors."""

    text: Text | None = None
    mask: Tensor | None = None
    """(b n), 1 where a token of the embeddings counts."""
    null_text: Text | None = None
    """What guidance leads away from."""
    null_mask: Tensor | None = None
    noise: Sequence[Tensor] | None = None
    """One tensor (b c h w) a stage, checked."""

    @classmethod
    def checked(
        cls,
        model: FlowModel,
        spec: ExperimentSpec,
        text: Text | None,
        mask: Tensor | None,
        null_text: Text | None,
        null_mask: Tensor | None,
        noise: Sequence[Tensor] | None,
    ) -> Given:
        """The same, with noise in float32; raises UsageError for tensors that do not fit the model."""
        for one in (text, null_text):
            if isinstance(one, Tensor):
                check_width(one, model)
        if noise is not None:
            noise = checked_noise(noise, spec.image.channels, len(model.cascade.stages))
        return cls(text, mask, null_text, null_mask, noise)

    @property
    def is_recordable(self) -> bool:
        """Whether an order holds all of it."""
        return self.noise is None and not any(isinstance(one, Tensor) for one in (self.text, self.null_text))

    def wish(self, stages: int, *, given: Mapping[str, object], size: int | Size | None, **others: Any) -> Wish:
        """What an order is made of; raises UsageError if both noise and a size are given.

        Args:
            given: the other fields' values.
            others: fields of `Wish`.
        """
        if self.noise is not None:
            if size:
                raise UsageError("the given noise decides the images' size; leave size= out")
            size = self.noise[0].shape[-2] << (stages - 1), self.noise[0].shape[-1] << (stages - 1)
        words = _words(self.text)
        return Wish(
            given={**given, **({CAPTION.name: words} if words else {})},
            negatives=_words(self.null_text),
            size=(size, size) if isinstance(size, int) else size,
            noises=None if self.noise is None else len(self.noise[0]),
            embeddings=len(self.text) if isinstance(self.text, Tensor) else None,
            **others,
        )

    def request(self, model: FlowModel, spec: ExperimentSpec, order: Order, weak: Weaker | None) -> Request:
        """What an order asks for, with the tensors in their places; raises UsageError for other numbers of images."""
        count = len(order.seeds)
        found = requested(
            model,
            spec,
            order.values,
            order.seeds,
            weak=weak,
            null_values=order.null_values,
            size=order.size,
            edits=order.edits(),
        )
        if isinstance(self.text, Tensor):
            prompt = replace(found.prompt, context=context(self.text, self.mask, count, model))
            found = replace(found, prompt=prompt, null=None if self.null_text is None else found.null)
        if isinstance(self.null_text, Tensor):
            found = replace(found, null=Prompt(count, {}, context(self.null_text, self.null_mask, count, model)))
        if self.noise is not None:
            found = replace(found, noise=noise_source(count, order.seeds, self.noise, model.device))
        return found


def check_width(embeddings: Tensor, model: FlowModel) -> None:
    """Raise UsageError if embeddings (b n d) are not as wide as the model's text encoder makes them."""
    wanted = model.backbone.context_dim
    if embeddings.shape[-1] != wanted:
        raise UsageError(f"the embeddings have {embeddings.shape[-1]} channels, this run's {wanted}")


def _words(text: Text | None) -> Sequence[str]:
    if text is None or isinstance(text, Tensor):
        return ()
    return [text] if isinstance(text, str) else text
