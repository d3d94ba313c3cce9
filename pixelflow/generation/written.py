"""Settings of sampling as people write them, on a command line or into a field of a page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from pixelflow.core import reading
from pixelflow.core.spec import SamplingSpec
from pixelflow.system.errors import SpecError
from pixelflow.system.printing import printable


def component(text: str, option: str) -> object:
    """What is a component's name, a YAML block with its settings, a number (``nan`` and ``inf`` are two), or several
    between commas, one a stage.

    Args:
        option: where it was written, for errors.

    Raises:
        SpecError: it is not YAML.
    """
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        return reading.parse_value(text, option)
    return numbers if len(numbers) > 1 else numbers[0]


def sampling_changes(
    *,
    steps: str | None,
    sampler: str | None,
    guidance: str | None,
    grid: str | None,
    settings: Path | None = None,
) -> dict[str, object]:
    """The texts of these names as changes for `generation.settings.changed_sampling`.

    Args:
        settings: a file of such settings, as `pixelflow tune` writes them; the texts count more.

    Raises:
        MissingInputError: there is no such file.
        SpecError: it, or a text, is not YAML, or holds what is no setting of sampling.
    """
    named = {"sampler": sampler, "guidance": guidance, "grid": grid}
    given = {} if settings is None else dict(_read(settings))
    if steps is not None:
        given["steps"] = _steps(steps)
    return given | {key: component(text, f"--{key}") for key, text in named.items() if text is not None}


def _read(file: Path) -> Mapping[str, object]:
    """The settings in a file, by their names in a spec's sampling block."""
    data: object = reading.read_document(file).data
    if not isinstance(data, dict):
        raise SpecError(f"{file}: must hold settings of sampling, such as  steps: 20")
    unknown = sorted(set(data) - SamplingSpec.model_fields.keys())
    if unknown:
        known = ", ".join(SamplingSpec.model_fields)
        raise SpecError(f"{file}: {printable(unknown[0])} is no setting of sampling; there are {known}")
    return data


def _steps(text: str) -> object:
    """``10`` or ``10,20``; what is no number is left for the spec's own check to refuse."""
    parts = [int(part) if re.fullmatch(r"\s*-?[0-9]+\s*", part) else part for part in text.split(",")]
    return parts if len(parts) > 1 else parts[0]
