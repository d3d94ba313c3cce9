"""A small image as context: one token a pixel, which the backbone's tokens attend to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, Self

import torch
from einops import rearrange
from pydantic import Field
from torch import Tensor, nn

from pixelflow.core.condition import Condition
from pixelflow.core.fields import field_of
from pixelflow.core.interfaces import Conditioner, Dataset, Sample
from pixelflow.system.errors import UsageError


class Pixels(Conditioner):
    """Each pixel of ``lowres`` becomes a token with a learnt place; a channel more tells whether there is an image."""

    reads: ClassVar[str] = "lowres"

    class Params(Conditioner.Params):
        type: Literal["superres.pixels"] = "superres.pixels"
        dim: int = Field(default=64, ge=1)
        """Channels of a token."""
        shape: tuple[int, int, int] | None = None
        """Channels, height and width of the small image; by default those of the data's."""

        @property
        def context_dim(self) -> int:
            return self.dim

        @property
        def context_tokens(self) -> int:
            return 0 if self.shape is None else self.shape[1] * self.shape[2]

        def resolved(self, dataset: Dataset) -> Self:
            sample = dataset.sample(0, torch.Generator())
            small = field_of("lowres").of(sample) if isinstance(sample, Sample) else None
            return self if self.shape or small is None else self.model_copy(update={"shape": tuple(small.shape)})

    params: Params

    def __init__(self, params: Params, *, width: int) -> None:
        super().__init__(params)
        if params.shape is None:
            raise UsageError("superres.pixels needs 'shape' when there is no data set that tells it")
        channels, height, width = params.shape
        self.pixels = nn.Linear(channels + 1, params.dim)
        self.places = nn.Parameter(torch.randn(height * width, params.dim) / params.dim**0.5)

    def prepare(self, values: Sequence[object]) -> Tensor:
        for value in values:
            if not isinstance(value, Tensor) or tuple(value.shape) != self.params.shape:
                given = tuple(value.shape) if isinstance(value, Tensor) else repr(value)
                raise UsageError(f"lowres must be images (c h w) of {self.params.shape}, not {given}")
        images = torch.stack(list(values)).float()
        return torch.cat([images, torch.ones_like(images[:, :1])], 1)

    def null(self, count: int) -> Tensor:
        assert self.params.shape is not None
        channels, height, width = self.params.shape
        return torch.zeros(count, channels + 1, height, width)

    def forward(self, prepared: Tensor) -> Condition:
        tokens = self.pixels(rearrange(prepared, "b c h w -> b (h w) c")) + self.places
        return Condition(tokens=tokens, mask=torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device))
