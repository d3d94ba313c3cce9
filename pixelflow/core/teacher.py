"""Another run as a second network, as specs name it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from pixelflow.core.component import Settings


class RunWeights(Settings):
    """A run's weights."""

    run: Path
    """The run's folder; a relative path starts at the current directory."""
    weights: Literal["ema", "raw"] = "ema"
    """The averaged weights, or those that the optimizer left."""
    step: int | None = Field(default=None, ge=0)
    """Of the checkpoint; by default the newest."""


class Teacher(RunWeights):
    """A run whose network is asked, and never changed."""


def _run(value: object) -> object:
    """``runs/NAME`` means ``{run: runs/NAME}``; ``ema`` is the average of the weights that are trained."""
    return {"run": value} if isinstance(value, str) and value != "ema" else value


AnyTeacher = Annotated[Teacher | Literal["ema"], BeforeValidator(_run, json_schema_input_type=str | Teacher)]
"""The field of an objective that asks a second network: a run's folder, a block, or ``ema``."""
