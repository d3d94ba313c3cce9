"""Captions as bags of words."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from pixelflow.core.condition import Condition
from pixelflow.core.interfaces import Conditioner
from pixelflow.system.errors import UsageError


class BagOfWords(Conditioner):
    """The sum of one learnt vector a word; words are hashed into a table, whose row 0 stands for no word."""

    reads: ClassVar[str] = "caption"

    class Params(Conditioner.Params):
        type: Literal["acme.bag_of_words"] = "acme.bag_of_words"
        rows: int = Field(default=4096, ge=2)
        """Rows of the table."""
        longest: int = Field(default=32, ge=1)
        """Words of a caption that count; the rest is cut off."""

    params: Params

    def __init__(self, params: Params, *, width: int) -> None:
        super().__init__(params)
        self.table = nn.Embedding(params.rows, width, padding_idx=0)

    def prepare(self, values: Sequence[object]) -> Tensor:
        return torch.stack([self._rows_of(value) for value in values])

    def _rows_of(self, caption: object) -> Tensor:
        """Row of each word (longest)."""
        if not isinstance(caption, str):
            raise UsageError(f"a caption must be text, not {caption!r}")
        rows = torch.zeros(self.params.longest, dtype=torch.long)
        for place, word in enumerate(caption.lower().split()[: self.params.longest]):
            rows[place] = 1 + zlib.crc32(word.encode()) % (self.params.rows - 1)
        return rows

    def null(self, count: int) -> Tensor:
        return torch.zeros(count, self.params.longest, dtype=torch.long)

    def forward(self, prepared: Tensor) -> Condition:
        return Condition(vector=self.table(prepared).sum(1))
