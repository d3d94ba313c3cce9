"""Reading training batches by our workers over torch's DataLoader: python benchmarks/loader.py [FOLDER] [BATCHES]

FOLDER holds class folders of pictures (CIFAR-10 as JPEG, say); without it the digits are read. Both read the very same
batches with the very same reader, in turn; torch's workers hand them over in shared memory, as 8-bit values too. CPU
seconds are those of all processes together.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from pixelflow.core.interfaces import Dataset
from pixelflow.data.digits import Digits
from pixelflow.data.image_folder import ImageFolder
from pixelflow.system.errors import PixelflowError
from pixelflow.training import loader

BATCH, ROUNDS = 128, 3


class Batches(IterableDataset[Any]):
    """The same orders and the same reader for torch: each worker reads its share of the batches, in turn."""

    def __init__(self, data: Dataset) -> None:
        self._reader = loader._Reader(data, seed=0, bad_images=0)
        self._places = loader._Places(data, BATCH, 0, 0, None)

    def __iter__(self) -> Iterator[Any]:
        worker = get_worker_info()
        for places in islice(self._places, worker.id if worker else 0, None, worker.num_workers if worker else 1):
            if worker:
                packed = self._reader.packed(places)
                yield [tuple(map(torch.as_tensor, group)) for group in packed.groups], packed.values
            else:
                yield self._reader.read(places).batch


def ours(data: Dataset, workers: int) -> Iterator[Any]:
    return loader.batches(data, batch_size=BATCH, seed=0, workers=workers, first_step=0, bad_images=0)


def torchs(data: Dataset, workers: int) -> Iterator[Any]:
    ahead: dict[str, Any] = {"prefetch_factor": 4} if workers else {}
    for batch in DataLoader(Batches(data), batch_size=None, num_workers=workers, collate_fn=_as_it_is, **ahead):
        if workers:
            groups, values = batch
            yield loader.Batch(tuple(loader.SizeGroup(own, loader._unpacked(pixels)) for own, pixels in groups), values)
        else:
            yield batch


def _as_it_is(batch: Any) -> Any:
    return batch


def measured(stream: Iterator[Any], batches: int) -> tuple[float, float]:
    """Seconds and CPU seconds of so many batches, the start of the workers among them."""
    began, spent = time.perf_counter(), _cpu()
    with closing(stream):  # type: ignore[type-var]
        for _ in islice(stream, batches):
            pass
    return time.perf_counter() - began, _cpu() - spent


def _cpu() -> float:
    times = os.times()
    return sum(times[:4])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("batches", type=int, nargs="?", default=100)
    given = parser.parse_args()
    torch.set_num_threads(1)
    folder, batches = given.folder, given.batches
    data: Dataset = (
        Digits.Params().build(height=16, width=16, channels=1)
        if folder is None
        else ImageFolder.Params(root=folder).build(height=32, width=32, channels=3)
    )
    for workers in (0, 2):
        ratios: list[tuple[float, float]] = []
        for _ in range(ROUNDS):
            mine, other = measured(ours(data, workers), batches), measured(torchs(data, workers), batches)
            ratios.append((other[0] / mine[0], other[1] / mine[1]))
        wall, cpu = (statistics.median(column) for column in zip(*ratios, strict=True))
        print(f"{workers} workers: torch's DataLoader takes {wall:.2f} times our seconds, {cpu:.2f} our CPU seconds")


if __name__ == "__main__":
    try:
        main()
    except PixelflowError as error:
        sys.exit(str(error))
