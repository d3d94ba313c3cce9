"""Prompts with words put around them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pixelflow.core.interfaces import Rewriter


class Framed(Rewriter):
    """Puts every prompt into one sentence."""

    class Params(Rewriter.Params):
        type: Literal["acme.framed"] = "acme.framed"
        frame: str = "a detailed photo of {}"
        """The sentence; the prompt takes the place of {}."""

    params: Params

    @property
    def fingerprint(self) -> str:
        return ""

    def rewrite(self, prompts: Sequence[str]) -> list[str]:
        return [self.params.frame.replace("{}", prompt) for prompt in prompts]
