"""Captions through the frozen text tower of an open-clip model (CLIP, arXiv 2103.00020)."""

from __future__ import annotations

import json
from functools import cache, lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from pixelflow.conditioners.captions import trimmed
from pixelflow.conditioners.frozen import FrozenText
from pixelflow.core.condition import Condition
from pixelflow.system import torchvision_compat
from pixelflow.system.distribution import install
from pixelflow.system.errors import DataError, MissingDependencyError, MissingInputError
from pixelflow.system.files import read_bytes
from pixelflow.system.records import LARGEST

_CONFIG, _WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"


class ClipText(FrozenText):
    """Token states behind the tower's last norm, or its pooled and projected caption."""

    files = (_CONFIG, _WEIGHTS)

    class Params(FrozenText.Params):
        type: Literal["clip_text"] = "clip_text"
        model: str = "laion/CLIP-ViT-L-14-laion2B-s32B-b82K"
        """A name on the Hugging Face hub, or a folder, in open-clip's form. Nothing is downloaded."""
        max_tokens: int = Field(default=77, ge=2)
        """Longest caption, its end included, at most the tower's own limit; the rest of a longer one is cut off."""
        gives: Literal["tokens", "pooled"] = "tokens"
        """"tokens": context for cross-attention; "pooled": one vector, through a trained layer, beside the time."""

        @property
        def is_pooled(self) -> bool:
            return self.gives == "pooled"

        def dim_in(self, folder: Path) -> int:
            try:
                config = json.loads(read_bytes(folder / _CONFIG, LARGEST))["model_cfg"]
                width = config["text_cfg"]["width"]  # which towers of other kinds do not have
                return int(config["embed_dim"] if self.gives == "pooled" else width)
            except (MissingInputError, ValueError, LookupError, TypeError, RecursionError):
                raise DataError(
                    f"clip_text: {folder / _CONFIG} describes no text tower of open-clip's own kind"
                ) from None

    params: Params

    def __init__(self, params: Params, *, width: int) -> None:
        super().__init__(params, width=width)
        self.to_vector = nn.Linear(params.encoder_dim, width) if params.gives == "pooled" else None

    def tokenise(self, captions: list[str]) -> list[list[int]]:
        tokeniser = _tokeniser()
        first, last = tokeniser.sot_token_id, tokeniser.eot_token_id
        return [[first, *tokeniser.encode(caption), last] for caption in captions]

    def encode(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        tokens, mask = trimmed(rows)
        tower: Any = _tower(self.folder, rows.device, getattr(torch, self.params.precision))
        longest, wanted = tower.context_length, self.params.max_tokens
        if wanted > longest:
            raise DataError(f"clip_text: {self.params.model} reads {longest} tokens, not {wanted}; mend 'max_tokens'")
        pooled, states = tower(F.pad(tokens, (0, longest - tokens.shape[1])))
        if self.to_vector is not None:
            return pooled[:, None], mask[:, :1]
        return states[:, : tokens.shape[1]], mask

    def condition(self, states: Tensor, mask: Tensor) -> Condition:
        return super().condition(states, mask) if self.to_vector is None else Condition(self.to_vector(states[:, 0]))


@cache
def _tokeniser() -> Any:
    return _open_clip().SimpleTokenizer()


@lru_cache(maxsize=2)
def _tower(folder: Path, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """The text tower of a folder in open-clip's form, read from safetensors alone."""
    clip = _open_clip()
    try:
        config = json.loads(read_bytes(folder / _CONFIG, LARGEST))["model_cfg"]
        model = clip.CustomTextCLIP(**config)
        clip.load_checkpoint(model, str(folder / _WEIGHTS))
    except Exception as error:  # it raises whatever its parsers of hostile files raise
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(f"clip_text: the model in {folder} cannot be read ({reason})") from None
    tower = model.text
    tower.output_tokens = True
    network: nn.Module = tower.to(device, dtype).eval().requires_grad_(False)
    return network


def _open_clip() -> ModuleType:
    torchvision_compat.make_importable()
    try:
        import open_clip
    except ImportError:
        raise MissingDependencyError(f"clip_text needs the package open-clip-torch: {install('clip')}") from None
    module: ModuleType = open_clip
    return module
