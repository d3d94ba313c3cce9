"""Writes the tables of docs/planning.md, what of the paper's specs fits where: python docs/fits.py"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from pixelflow.core.spec import ExperimentSpec
from pixelflow.core.spec_files import read_spec
from pixelflow.costs.memory import Devices, Fit, drawing_flop, fits
from pixelflow.system.tables import quantity

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "planning.md"
COUNT = 8
MEMORIES = (80e9, 24e9)
SPEED = 0.25 * 989e12
FID_IMAGES = 50_000
TEXT = "conditioners=[{type: t5, model: google/flan-t5-xl, max_tokens: 512, dim: 2048}]"
"""The encoder's channels, which its files would tell."""


def specs() -> Iterator[ExperimentSpec]:
    for file in sorted((ROOT / "specs" / "paper").glob("*.yaml")):
        yield read_spec(file, [TEXT] if file.name.startswith("t2i") else [])


def table(memory: float, of: Sequence[ExperimentSpec]) -> str:
    """One row a spec, for devices of so many bytes."""
    head = ("spec", "parameters", "ddp", "fsdp", "ddp, checkpointing", "fsdp, checkpointing", "training", "FID-50k")
    rows = [head, ("---",) * len(head)]
    for spec in of:
        ways = [fits(spec, Devices(mode, COUNT), memory) for mode in ("ddp", "fsdp")]
        costs = ways[0][0].costs
        fastest = next((fit for again in (0, 1) for fit in (way[again] for way in ways) if fit.is_one), None)
        rows.append(
            (
                f"`{spec.name}`",
                quantity(costs.parameters),
                *(_told(way[again]) for again in (0, 1) for way in ways),
                _hours(fastest.costs.training_flop) if fastest else "",
                _hours(drawing_flop(costs, FID_IMAGES)),
            )
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _told(fit: Fit) -> str:
    told = f"{quantity(fit.needed.peak, 'B')}, {fit.costs.spec.training.grad_accumulation}"
    return told if fit.is_one else f"({told})"


def _hours(flop: float) -> str:
    return f"{flop / SPEED / 3600:,.3g}" if flop / SPEED < 3.6e6 else f"{flop / SPEED / 3600:,.0f}"


def written(page: str, memory: float, content: str) -> str:
    """The page with the table of these devices anew."""
    begin, end = f"<!-- {quantity(memory, 'B')} -->", "<!-- end -->"
    return re.sub(f"(?<={begin}\n).*?(?={end})", lambda _: f"\n{content}\n\n", page, count=1, flags=re.S)


def main() -> None:
    of = list(specs())
    for memory in MEMORIES:
        PAGE.write_text(written(PAGE.read_text(), memory, table(memory, of)))


if __name__ == "__main__":
    main()
