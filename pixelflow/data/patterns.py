"""Patterns of files: ``{000..012}`` and ``{a,b}`` stand for several names, ``*`` and ``?`` for what is there."""

from __future__ import annotations

import glob
import itertools
import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from pixelflow.core.problems import problem
from pixelflow.system.errors import MissingInputError
from pixelflow.system.files import is_plain_file

_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_MOST = 1_000_000
"""Files that a pattern may stand for."""


def _checked(patterns: str | tuple[str, ...]) -> str | tuple[str, ...]:
    for pattern in _listed(patterns):
        if not 1 <= _count(pattern) <= _MOST:
            raise problem(f"{pattern!r} stands for {_count(pattern)} files; use 1 to {_MOST}")
    if not patterns:
        raise problem("names no files")
    return patterns


Patterns = Annotated[str | tuple[str, ...], AfterValidator(_checked)]
"""One pattern or several."""


def matching(patterns: str | tuple[str, ...], key: str) -> list[Path]:
    """The files that patterns stand for, in order, each once.

    Args:
        key: the setting, for the error.

    Raises:
        MissingInputError: a file is not there, or a wildcard finds none.
    """
    found: list[str] = []
    for name in (name for pattern in _listed(patterns) for name in expanded(str(Path(pattern).expanduser()))):
        there = [name] if Path(name).is_file() else sorted(glob.glob(_wild(name)))  # noqa: PTH207 - it takes whole paths
        own = [file for file in there if is_plain_file(Path(file))]
        if not own:
            raise MissingInputError(f"{name}: there is no such file; set {key}, relative to {Path.cwd()}")
        found += own
    return [Path(name) for name in dict.fromkeys(found)]


def _wild(pattern: str) -> str:
    """The pattern as `glob` writes it, for which brackets stand for several letters too."""
    return pattern.replace("[", "[[]")


def expanded(pattern: str) -> list[str]:
    """``a{0..2}.{x,y}`` -> the six names that it stands for; ``{000..012}`` keeps its zeros."""
    parts = _BRACES.split(pattern)
    choices = [_choices(part) if place % 2 else [part] for place, part in enumerate(parts)]
    return ["".join(chosen) for chosen in itertools.product(*choices)]


def _choices(braced: str) -> list[str]:
    span = _RANGE.fullmatch(braced)
    if span is None:
        return braced.split(",") if "," in braced else [f"{{{braced}}}"]
    digits = len(span[1]) if span[1].startswith("0") else 0
    return [str(number).zfill(digits) for number in range(int(span[1]), int(span[2]) + 1)]


def _count(pattern: str) -> int:
    """Names that `expanded` would give, without making them."""
    count = 1
    for braced in _BRACES.findall(pattern):
        span = _RANGE.fullmatch(braced)
        count *= max(0, int(span[2]) - int(span[1]) + 1) if span else braced.count(",") + 1
    return count


def _listed(patterns: str | tuple[str, ...]) -> tuple[str, ...]:
    return (patterns,) if isinstance(patterns, str) else patterns
