"""Captions through a frozen T5 encoder, as in the paper (section 3.3: Flan-T5-XL, arXiv 2210.11416)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from pixelflow.conditioners import from_transformers
from pixelflow.conditioners.captions import trimmed
from pixelflow.conditioners.frozen import FrozenText
from pixelflow.system.errors import DataError, MissingInputError
from pixelflow.system.files import read_bytes
from pixelflow.system.records import LARGEST

_KNOWN_DIMS = {
    "google/flan-t5-small": 512,
    "google/flan-t5-base": 768,
    "google/flan-t5-large": 1024,
    "google/flan-t5-xl": 2048,
    "google/flan-t5-xxl": 4096,
}
"""So that costs can be counted and embeddings used where the files are not."""


class T5(FrozenText):
    """The last hidden states of transformers' T5 encoder: any T5 or ByT5, by name or folder."""

    files = ("config.json", "*.safetensors", "tokenizer*.json")

    class Params(FrozenText.Params):
        type: Literal["t5"] = "t5"
        model: str = "google/flan-t5-xl"
        """A name on the Hugging Face hub, or a folder. Nothing is downloaded: fetch it beforehand."""
        max_tokens: int = Field(default=512, ge=2)
        """Longest caption, its end included; the rest of a longer one is cut off."""

        @property
        def encoder_dim(self) -> int:
            return self.dim or _KNOWN_DIMS.get(self.model) or super().encoder_dim

        def dim_in(self, folder: Path) -> int:
            try:
                return int(json.loads(read_bytes(folder / "config.json", LARGEST))["d_model"])
            except (MissingInputError, ValueError, LookupError, TypeError, RecursionError):
                raise DataError(f"t5: {folder / 'config.json'} is not the configuration of a T5") from None

    params: Params

    def tokenise(self, captions: list[str]) -> list[list[int]]:
        return from_transformers.tokeniser(self.folder, "t5")(captions)

    def encode(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        tokens, mask = trimmed(rows)
        dtype = getattr(torch, self.params.precision)
        encoder = from_transformers.encoder(self.folder, rows.device, dtype, "t5", "T5EncoderModel")
        return encoder(input_ids=tokens, attention_mask=mask.long()).last_hidden_state, mask
