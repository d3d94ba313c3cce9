"""Captions as rows of token numbers: checked, cut where they are too long, padded."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
from torch import Tensor

from pixelflow.system.errors import UsageError

PAD = -1
"""Stands where a row has no token."""

_SHOWN = 60

logger = logging.getLogger(__name__)


def checked(values: Sequence[object]) -> list[str]:
    """The captions, if they are text; raises UsageError otherwise."""
    captions = []
    for value in values:
        if not isinstance(value, str):
            raise UsageError(f"a caption must be text, not {value!r}")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise UsageError(f"the caption {value!r} is not valid Unicode text; was it read as UTF-8?") from None
        captions.append(value)
    return captions


def shown(caption: str) -> str:
    """The caption, or its beginning, for a message."""
    return caption if len(caption) <= _SHOWN else f"{caption[:_SHOWN]}..."


class Rows:
    """Token lists as rows of one length; longer ones are cut before their last token, which ends a caption.

    Cut captions are counted; the first, tenth, hundredth ... is named in the log.

    Args:
        limit: tokens of a row.
        owner: the conditioner's name, for the log.
    """

    def __init__(self, limit: int, owner: str) -> None:
        self.limit, self.owner = limit, owner
        self.cut = 0
        """Captions cut so far."""

    def __call__(self, captions: Sequence[str], tokens: Sequence[Sequence[int]]) -> Tensor:
        """The tokens of each caption -> (b limit), with `PAD` behind each caption's end."""
        rows = torch.full((len(tokens), self.limit), PAD)
        for row, caption, own in zip(rows, captions, tokens, strict=True):
            if len(own) > self.limit:
                self._note(caption, len(own))
                own = [*own[: self.limit - 1], own[-1]]
            row[: len(own)] = torch.tensor(own)
        return rows

    def _note(self, caption: str, length: int) -> None:
        self.cut += 1
        if set(str(self.cut)[1:]) <= {"0"} and str(self.cut)[0] == "1":
            logger.warning(
                "%s: a caption of %d tokens was cut to %d (captions cut so far: %d): %r",
                self.owner, length, self.limit, self.cut, shown(caption),
            )  # fmt: skip


def trimmed(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Rows (b limit) as tokens (b m) and mask (b m), m that of the longest; padding becomes token 0."""
    mask = rows != PAD
    longest = int(mask.sum(dim=1).max())
    return rows[:, :longest].clamp(min=0), mask[:, :longest]
