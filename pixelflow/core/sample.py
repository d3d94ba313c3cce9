"""An element of a data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Sample:
    """One element of a data set."""

    image: Tensor
    """(c h w) in [-1, 1]"""
    label: int | None = None
    caption: str | None = None
    fields: Mapping[str, object] = field(default_factory=dict)
    """Further fields by name, such as images (c h w), vectors or masks; see `pixelflow.core.fields`."""
