"""What a network is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from pixelflow.core.condition import Condition


@dataclass(frozen=True)
class Query:
    """One evaluation of a network on a packed batch."""

    images: Sequence[Tensor]
    """Groups (b_i c h_i w_i) of equal shape and stage."""
    stages: Sequence[int]
    """The stage of each group."""
    time: Tensor
    """(b) network time of each image, over all groups in order"""
    condition: Condition
    """Of all images in the same order."""
    until: Tensor | None = None
    """(b) a second, later network time: the mean velocity from `time` to it is asked for (MeanFlow, arXiv 2505.13447);
    None asks for the velocity at `time`"""
    taps: Sequence[int] = ()
    """Places in the network whose hidden features are asked for, from 0; see `Backbone.tap_widths`."""


class Output(NamedTuple):
    """What a network gives."""

    groups: list[Tensor]
    """One (b_i c h_i w_i) for each group of the query."""
    features: list[list[Tensor]] = []  # noqa: RUF012 - never changed
    """For each tap one (b_i d rows cols) for each group."""
