"""The weaker model of autoguidance (arXiv 2406.02507), which may list its classes in another order."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace

from pixelflow.core.classes import Match, match, shown
from pixelflow.core.condition import Condition
from pixelflow.core.fields import LABEL, labels_in
from pixelflow.core.model import FlowModel
from pixelflow.generation.prompts import Prompt
from pixelflow.system.errors import UsageError

logger = logging.getLogger(__name__)

Known = tuple[tuple[str, ...], int]
"""Names of a run's classes, if they have any, and how many there are."""


@dataclass(frozen=True)
class Weaker:
    """A weaker model."""

    model: FlowModel
    match: Match | None = None
    """Our classes among its own; None where they are the same."""

    @classmethod
    def matched(cls, model: FlowModel, ours: Known, its: Known, labels: Iterable[int]) -> Weaker:
        """A weaker model for these labels, which finds their classes by name.

        Raises:
            DataError, UsageError: it knows other classes.
        """
        if not (ours[0] and its[0]) and ours[1] != its[1]:
            raise UsageError(f"this run has {ours[1]} classes and the weaker run {its[1]}, and one of them no names")
        found = match(ours[0], its[0], of="this run", there="the weaker run")
        if not found.places and found.note:
            logger.warning("%s", found.note)
        weaker = cls(model, found)
        weaker.check(labels)
        return weaker

    def condition(self, prompt: Prompt) -> Condition:
        """What it makes of a prompt for our model; raises UsageError for a class that it lacks."""
        labels = labels_in(prompt.values)
        if labels is None or self.match is None:
            return prompt.condition(self.model)
        self.check(labels)
        own = [self.match(label) for label in labels]
        return replace(prompt, values={**prompt.values, LABEL.name: own}).condition(self.model)

    def check(self, labels: Iterable[int]) -> None:
        """Raise UsageError if it lacks one of these classes of ours."""
        if self.match is None:
            return
        lacking = {label for label in labels if self.match(label) is None}
        if lacking:
            names = shown([self.match.names[label] for label in sorted(lacking)])
            raise UsageError(f"the weaker run does not know these classes, and cannot guide them: {names}")
