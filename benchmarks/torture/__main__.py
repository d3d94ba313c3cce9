"""Inject every fault and print what became of the work: ``python -m benchmarks.torture [--quick] [--rows kills,npz]``.

Each processor has a row at a time; last come those that need the whole machine. It ends with 1 if a row is not clean.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TQDM_DISABLE", "1")  # bars of libraries that make the files

from benchmarks.torture import deaths, disks, flips, given, hostile, interrupted, load, wrong
from benchmarks.torture.trials import Row, warm

Inject = Callable[[Row, Path], None]

ALONE = ("crowd: 50 workers, ten killed", "load")
"""Rows that are about the whole machine."""


def faults(quick: bool) -> dict[str, Inject]:
    """Every kind of fault with the number of its trials."""

    def few(whole: int, some: int) -> int:
        return some if quick else whole

    rows: dict[str, Inject] = {
        "kills: no workers": partial(deaths.kills, count=few(50, 1), processes=1, workers=0),
        "kills: two workers": partial(deaths.kills, count=few(40, 1), processes=1, workers=2),
        "kills: of one of two processes": partial(deaths.kills, count=few(20, 1), processes=2, workers=0),
        "kills: of one of two shards": partial(deaths.kills, count=few(20, 1), processes=2, workers=0, mode="fsdp"),
        "kills: of one of four shards": partial(deaths.kills, count=few(20, 1), processes=4, workers=0, mode="fsdp"),
        "signals: no workers": partial(deaths.signals, count=few(30, 1), processes=1, workers=0),
        "signals: two workers": partial(deaths.signals, count=few(20, 1), processes=1, workers=2),
        "signals: two processes": partial(deaths.signals, count=few(20, 1), processes=2, workers=0),
        "signals: two shards": partial(deaths.signals, count=few(20, 1), processes=2, workers=0, mode="fsdp"),
        "signals: four shards": partial(deaths.signals, count=few(20, 1), processes=4, workers=0, mode="fsdp"),
        "kills and signals: sample, eval, export, sweep, cache-text": partial(interrupted.others, count=few(8, 1)),
        "plugins: broken": partial(wrong.plugins, count=few(32, 1)),
        "disks: by size": partial(disks.training, count=few(60, 2), by_page=False),
        "disks: by page": partial(disks.training, count=few(40, 1), by_page=True),
        "disks: sample, eval, sweep": partial(disks.others, count=few(10, 1)),
        "hostile: files that are given": partial(given.files, count=few(15, 1)),
        "bits: every kept file": partial(flips.every_file, count=few(40, 1)),
        **{f"hostile: {name}": partial(call, count=few(50, 5)) for name, call in hostile.FAMILIES.items()},
        "numbers: not finite": partial(wrong.not_finite, count=few(20, 2)),
        "specs: mistakes": partial(wrong.specs, count=few(90, 12)),
        "crowd: 50 workers, ten killed": partial(deaths.sweep_of_many, workers=few(50, 2)),
        "load": partial(load.load, scale=1.0 if not quick else 0.01),
    }
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.torture",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="a few trials of each row")
    parser.add_argument("--rows", help="only rows whose names hold one of these, with commas between")
    parser.add_argument("--out", type=Path, help="write the table there too, as Markdown")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="rows at a time")
    asked = parser.parse_args(arguments)
    wanted = asked.rows.split(",") if asked.rows else [""]
    chosen = {fault: inject for fault, inject in faults(asked.quick).items() if any(own in fault for own in wanted)}
    began, found = time.monotonic(), {}
    for row in done(chosen, asked.jobs):
        found[row.fault] = row
        print(shown(row), flush=True)
        for note in row.notes:
            print(f"    {note}", flush=True)
    rows = [found[fault] for fault in chosen]
    print(f"{sum(row.trials for row in rows)} trials in {time.monotonic() - began:.0f} s")
    if asked.out is not None:
        asked.out.write_text("\n".join(table(rows)) + "\n")
    return 0 if all(row.is_clean or not row.trials for row in rows) else 1


def done(chosen: Mapping[str, Inject], jobs: int) -> Iterator[Row]:
    """The rows as they come to their ends."""
    warm()  # once, for the trials of all rows
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("fork")) as pool:
        beside = [pool.submit(injected, fault, inject) for fault, inject in chosen.items() if fault not in ALONE]
        for one in as_completed(beside):
            yield one.result()
        for fault in filter(chosen.get, ALONE):
            yield pool.submit(injected, fault, chosen[fault]).result()


def injected(fault: str, inject: Inject) -> Row:
    """One row; if it cannot be carried out, that is counted as what must not happen."""
    row, began, busy = Row(fault), time.monotonic(), _busy()
    place = Path(tempfile.mkdtemp(prefix="torture-"))
    try:
        inject(row, place)
    except Exception as error:
        row.count("tracebacks", f"the row broke off: {error!r}")
    finally:
        shutil.rmtree(place, ignore_errors=True)
    row.seconds, row.busy = time.monotonic() - began, _busy() - busy
    return row


def _busy() -> float:
    """Seconds of a processor that this process and those that it has waited for took."""
    both = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in both)


def shown(row: Row) -> str:
    return (
        f"{row.fault:34} trials {row.trials:4}  survived {row.survived:4}  lost {row.lost}  silent {row.silent}  "
        f"tracebacks {row.tracebacks}  hangs {row.hangs}  {row.seconds:4.0f} s, of a processor {row.busy:.0f} s"
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
