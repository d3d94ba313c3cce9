"""Settings of sampling as people write them, on a command line or into a field of a page."""

from __future__ import annotations

import re

from pixelflow.core import reading


def component(text: str | None, option: str) -> object:
    """What is a component's name, a YAML block with its settings, a number (``nan`` and ``inf`` are two), or several
    between commas, one a stage.

    Args:
        option: where it was written, for errors.

    Raises:
        SpecError: it is not YAML.
    """
    if text is None:
        return None
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        return reading.parse_value(text, option)
    return numbers if len(numbers) > 1 else numbers[0]


def sampling_changes(
    *, steps: str | None, sampler: str | None, guidance: str | None, grid: str | None
) -> dict[str, object]:
    """The texts of these names as changes for `generation.settings.changed_sampling`; raises SpecError."""
    named = {"sampler": sampler, "guidance": guidance, "grid": grid}
    return {"steps": _steps(steps)} | {key: component(text, f"--{key}") for key, text in named.items()}


def _steps(text: str | None) -> object:
    """``10`` or ``10,20``; what is no number is left for the spec's own check to refuse."""
    if text is None:
        return None
    parts = [int(part) if re.fullmatch(r"\s*-?[0-9]+\s*", part) else part for part in text.split(",")]
    return parts if len(parts) > 1 else parts[0]
