"""Where a sweep's workers run: on this machine, on a Ray cluster, as jobs of SLURM."""

from __future__ import annotations

import difflib
from typing import Annotated

from pydantic import BeforeValidator, Discriminator, Tag

from pixelflow.core.problems import problem, shown
from pixelflow.sweep.executors.base import Executor
from pixelflow.sweep.executors.local import Local
from pixelflow.sweep.executors.ray_cluster import Ray
from pixelflow.sweep.executors.slurm import Slurm

__all__ = ["AnyExecutor", "Executor", "Local", "Ray", "Slurm"]

_KNOWN = ("local", "ray", "slurm")


def _expand(value: object) -> object:
    """A bare name stands for the executor with its defaults."""
    block = {"type": value} if isinstance(value, str) else value
    if isinstance(block, Executor):
        return block
    name = block.get("type") if isinstance(block, dict) else None
    if name not in _KNOWN:
        near = difflib.get_close_matches(str(name), _KNOWN, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise problem(
            f"needs one of {', '.join(_KNOWN)}, or a block with that 'type', not {shown(name or value)}{hint}"
        )
    return block


def _type(block: Executor | dict[str, str]) -> str:
    return block.type if isinstance(block, Executor) else block["type"]


AnyExecutor = Annotated[
    Annotated[Local, Tag("local")] | Annotated[Ray, Tag("ray")] | Annotated[Slurm, Tag("slurm")],
    Discriminator(_type),
    BeforeValidator(_expand),
]
