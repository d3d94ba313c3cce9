"""What a data set holds, in a line: said once by every command that reads data, before it takes its time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pixelflow.core.interfaces import Dataset, Survey

LOOKED_AT = 256
"""Pictures whose headers are read for the line."""
_SIZES, _KINDS = 3, 6
"""That are named."""


def told(dataset: Dataset, name: str = "data", looked_at: int = LOOKED_AT) -> str:
    """How many pictures, of which sizes, and what lies beside them and is not read."""
    parts = [f"{name}: {len(dataset):,} picture{'s' * (len(dataset) != 1)}{_classes(dataset)}"]
    survey = dataset.survey(looked_at)
    if survey is not None:
        parts.append(sizes_told(survey, len(dataset)))
    if dataset.left_out:
        parts.append(left_out_told(dataset.left_out))
    return "; ".join(parts)


def _classes(dataset: Dataset) -> str:
    count = len(dataset.classes)
    return f" in {count:,} class{'es' * (count != 1)}" if count else ""


def sizes_told(survey: Survey, count: int) -> str:
    """The most frequent sizes, with how many pictures were looked at if those were not all."""
    common = sorted(survey.sizes.items(), key=lambda item: -item[1])
    named = [f"{height} x {width}{f' ({own:,})' * (len(common) > 1)}" for (height, width), own in common[:_SIZES]]
    more = [f"{len(common) - _SIZES} more sizes"] * (len(common) > _SIZES)
    bad = survey.looked_at - sum(survey.sizes.values())
    unread = f"{bad:,} cannot be read" if bad else ""
    sizes = f"height x width {_joined([*named, *more])}" if named else ""
    seen = f"of the {survey.looked_at:,} looked at, " if survey.looked_at < count else ""
    return seen + ", ".join(part for part in (sizes, unread) if part)


def left_out_told(left_out: Mapping[str, int]) -> str:
    """What is not read, the most frequent kinds first: ``.pdf`` is no kind of picture that is read."""
    common = sorted(left_out.items(), key=lambda item: -item[1])
    named = [f"{number:,} {kind}" for kind, number in common[:_KINDS]]
    more = [f"{sum(number for _, number in common[_KINDS:]):,} others"] * (len(common) > _KINDS)
    return f"left out: {', '.join([*named, *more])}"


def _joined(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)
