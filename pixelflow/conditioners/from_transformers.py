"""Text encoders and tokenisers as the package transformers reads them, from this machine, weights as safetensors."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import torch
from torch import nn

from pixelflow.system.errors import DataError, first_line
from pixelflow.system.huggingface import transformers_for


@lru_cache(maxsize=4)
def tokeniser(folder: Path, owner: str) -> Callable[[list[str]], list[list[int]]]:
    """Captions to their whole token lists, special tokens included; raises DataError for files that do not do."""
    auto = transformers_for(owner).AutoTokenizer
    try:
        read = auto.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # it raises whatever its parsers of hostile files raise
        raise DataError(f"{owner}: the tokenizer in {folder} cannot be read ({first_line(error)})") from None
    return lambda captions: list(read(captions, truncation=False).input_ids)


@lru_cache(maxsize=2)
def encoder(folder: Path, device: torch.device, dtype: torch.dtype, owner: str, architecture: str) -> nn.Module:
    """A frozen encoder by the name of its class in transformers; raises DataError for files that do not do."""
    model = getattr(transformers_for(owner), architecture)
    try:
        read, report = model.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=dtype, output_loading_info=True
        )
    except Exception as error:
        raise DataError(f"{owner}: the weights in {folder} cannot be read ({first_line(error)})") from None
    # What pools is not asked for, and many published encoders have none.
    lacking = sorted(name for name in report["missing_keys"] if not name.startswith("pooler."))
    if lacking:
        raise DataError(f"{owner}: the weights in {folder} lack {lacking[0]}; are they a {read.config.model_type}'s?")
    network: nn.Module = read.to(device).eval().requires_grad_(False)
    return network
