"""``pixelflow plan``."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

from pixelflow.cli.arguments import Overrides, SpecFile, read_spec
from pixelflow.system.terminal import tell

_MEMORY = 80e9
_UNITS = {"MB": 1e6, "GB": 1e9, "TB": 1e12, "MIB": 2.0**20, "GIB": 2.0**30, "TIB": 2.0**40}


def _bytes(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([MGT]I?B)", text.upper())
    if found is None or not float(found[1]):
        raise typer.BadParameter(f"{text!r} is no size; write 80GB, 141GB or 79GiB")
    return float(found[1]) * _UNITS[found[2]]


def plan(
    spec: SpecFile,
    overrides: Overrides = None,
    tflops: Annotated[
        float | None, typer.Option(min=1e-6, help="TFLOP/s that a device sustains, to estimate times.")
    ] = None,
    gpus: Annotated[int | None, typer.Option(min=1, help="Devices that train together: what each needs.")] = None,
    memory: Annotated[
        Any, typer.Option(parser=_bytes, metavar="SIZE", help="Memory of a device, e.g. 80GB; the default.")
    ] = None,
    per_node: Annotated[int, typer.Option(min=1, help="Devices of one machine.")] = 8,
) -> None:
    """Show what a spec will cost, and with --gpus how it fits them. Allocates no weights."""
    from pixelflow.costs.planning import costs
    from pixelflow.costs.report import on_devices, told

    found = costs(read_spec(spec, overrides))
    speed = tflops * 1e12 if tflops else None
    parts = told(found, speed)
    if gpus is not None or memory is not None:
        parts.append(on_devices(found, gpus or 1, memory or _MEMORY, per_node, speed))
    tell(*"\n\n".join(parts).split("\n"))
