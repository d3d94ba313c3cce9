"""Checks of rewriters."""

from __future__ import annotations

import torch

from pixelflow.contracts.checking import Check, expect
from pixelflow.core.interfaces import Rewriter

_PROMPTS = ["a red circle", "two dogs in the snow", "zwölf Würfel"]
_CPU = torch.device("cpu")


def answers_every_prompt(params: Rewriter.Params) -> None:
    """One text that is not empty for each prompt, the same when asked again; nothing for nothing."""
    rewriter: Rewriter = params.build(device=_CPU)
    answers = rewriter.rewrite(_PROMPTS)
    expect(len(answers) == len(_PROMPTS), f"{len(_PROMPTS)} prompts became {len(answers)}")
    expect(all(isinstance(answer, str) and answer.strip() for answer in answers), f"an answer is empty: {answers}")
    expect(rewriter.rewrite(_PROMPTS) == answers, "asked again, it answers otherwise")
    expect(rewriter.rewrite([]) == [], "it answers where nothing was asked")


def answers_each_alone(params: Rewriter.Params) -> None:
    """An answer does not depend on the other prompts."""
    rewriter: Rewriter = params.build(device=_CPU)
    together = rewriter.rewrite(_PROMPTS)
    alone = [rewriter.rewrite([prompt])[0] for prompt in _PROMPTS]
    expect(alone == together, f"alone they become {alone}, together {together}")


def tells_itself_apart(params: Rewriter.Params) -> None:
    """Two rewriters of the same settings have the same fingerprint."""
    first, second = (params.build(device=_CPU).fingerprint for _ in range(2))
    expect(isinstance(first, str) and first == second, f"the fingerprints are {first!r} and {second!r}")


CHECKS: tuple[Check, ...] = (answers_every_prompt, answers_each_alone, tells_itself_apart)
