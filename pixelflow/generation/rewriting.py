"""Choosing a rewriter of prompts, and what a record keeps of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch

from pixelflow.core import reading
from pixelflow.core.component import Settings
from pixelflow.core.interfaces import Rewriter
from pixelflow.core.slots import Slot


class Choice(Settings):
    """A rewriter, as ``--rewriter`` and YAML name it."""

    rewriter: Annotated[Rewriter.Params, Slot("rewriter")]
    """By its name, or as a block with its settings."""


class Rewriting(Choice):
    """A rewriter and what it was asked, for the record."""

    fingerprint: str
    """What decided on the answers beside the settings."""
    prompts: tuple[str, ...]
    """The prompts as they were before."""


def chosen(text: str) -> Rewriter.Params:
    """The rewriter that is named or written as a YAML block; raises SpecError for what does not validate."""
    block = {"rewriter": reading.parse_value(text, "--rewriter")}
    return reading.validate(Choice, reading.Document("--rewriter", block)).rewriter


def rewritten(params: Rewriter.Params, prompts: Sequence[str], device: torch.device) -> tuple[list[str], Rewriting]:
    """What the prompts become, each different one once, and the record of it; raises what the rewriter raises."""
    rewriter: Rewriter = params.build(device=device)
    distinct = list(dict.fromkeys(prompts))
    answers = dict(zip(distinct, rewriter.rewrite(distinct), strict=True))
    record = Rewriting(rewriter=params, fingerprint=rewriter.fingerprint, prompts=tuple(prompts))
    return [answers[prompt] for prompt in prompts], record
