"""Inject every fault and print what became of the work: ``python -m benchmarks.torture [--quick] [--rows kills,npz]``.

Without --quick it takes long. It ends with 1 if a row is not clean.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from benchmarks.torture import deaths, disks, flips, given, hostile, interrupted, load, wrong
from benchmarks.torture.trials import Row

Inject = Callable[[Row, Path], None]


def faults(quick: bool) -> dict[str, Inject]:
    """Every kind of fault with the number of its trials."""

    def few(whole: int, some: int) -> int:
        return some if quick else whole

    rows: dict[str, Inject] = {
        "specs: mistakes": partial(wrong.specs, count=few(90, 12)),
        **{f"hostile: {name}": partial(call, count=few(50, 5)) for name, call in hostile.FAMILIES.items()},
        "hostile: files that are given": partial(given.files, count=few(15, 1)),
        "bits: every kept file": partial(flips.every_file, count=few(40, 1)),
        "plugins: broken": partial(wrong.plugins, count=few(32, 1)),
        "numbers: not finite": partial(wrong.not_finite, count=few(20, 2)),
        "disks: by size": partial(disks.training, count=few(60, 2), by_page=False),
        "disks: by page": partial(disks.training, count=few(40, 1), by_page=True),
        "disks: sample, eval, sweep": partial(disks.others, count=few(10, 1)),
        "kills: no workers": partial(deaths.kills, count=few(50, 1), processes=1, workers=0),
        "kills: two workers": partial(deaths.kills, count=few(40, 1), processes=1, workers=2),
        "kills: of one of two processes": partial(deaths.kills, count=few(20, 1), processes=2, workers=0),
        "signals: no workers": partial(deaths.signals, count=few(30, 1), processes=1, workers=0),
        "signals: two workers": partial(deaths.signals, count=few(20, 1), processes=1, workers=2),
        "signals: two processes": partial(deaths.signals, count=few(15, 1), processes=2, workers=0),
        "kills and signals: sample, eval, sweep, cache-text": partial(interrupted.others, count=few(8, 1)),
        "crowd: 50 workers, ten killed": partial(deaths.sweep_of_many, workers=few(50, 2)),
        "load": partial(load.load, scale=1.0 if not quick else 0.01),
    }
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.torture", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few trials of each row")
    parser.add_argument("--rows", help="only rows whose names hold one of these, with commas between")
    parser.add_argument("--out", type=Path, help="write the table there too, as Markdown")
    asked = parser.parse_args(arguments)
    wanted = asked.rows.split(",") if asked.rows else [""]
    rows = []
    for fault, inject in faults(asked.quick).items():
        if not any(own in fault for own in wanted):
            continue
        row, began = Row(fault), time.monotonic()
        place = Path(tempfile.mkdtemp(prefix="torture-"))
        try:
            inject(row, place)
        finally:
            shutil.rmtree(place, ignore_errors=True)
        rows.append(row)
        print(f"{shown(row)}  {time.monotonic() - began:.0f} s", flush=True)
        for note in row.notes:
            print(f"    {note}", flush=True)
    if asked.out is not None:
        asked.out.write_text("\n".join(table(rows)) + "\n")
    return 0 if all(row.is_clean or not row.trials for row in rows) else 1


def shown(row: Row) -> str:
    return (
        f"{row.fault:34} trials {row.trials:4}  survived {row.survived:4}  lost {row.lost}  silent {row.silent}  "
        f"tracebacks {row.tracebacks}  hangs {row.hangs}"
    )


def table(rows: Sequence[Row]) -> list[str]:
    """The rows in Markdown."""
    lines = ["| fault | trials | survived | lost | silent | tracebacks | hangs |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        counts = (row.trials, row.survived, row.lost, row.silent, row.tracebacks, row.hangs)
        lines.append(f"| {row.fault} | {' | '.join(str(count) for count in counts)} |")
    return lines


if __name__ == "__main__":
    sys.exit(main())
