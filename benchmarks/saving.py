"""How long training stops for a checkpoint that is written behind it, over one that it waits for.

    python benchmarks/saving.py [DEPTH]

The state is that of a real training (weights, average, moments of AdamW), checked for what is not finite; both ways in
alternation. Printed: the ratio of the median stops, and a stop as a share of 1,000 steps of a second.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

import torch

from pixelflow.core import reading, shipped
from pixelflow.core.assembly import build_dataset, resolve
from pixelflow.core.spec import ExperimentSpec
from pixelflow.runs import checkpoint
from pixelflow.system.parallel import Parallel
from pixelflow.training.saving import Saver
from pixelflow.training.state import TrainState

ROUNDS = 5
_STEPS = 1000.0
"""Seconds between two saves, by which the share is told: 1,000 steps of a second, as XL sizes take."""


def state_of(depth: int, folder: Path) -> TrainState:
    """The state after one step, so that there are moments."""
    changes = (f"backbone.depth={depth}", "backbone.heads=8", "backbone.head_dim=64")
    document = reading.override(reading.read_document(shipped.found(Path("digits"))), changes)
    spec = reading.validate(ExperimentSpec, document)
    state = TrainState.begin(resolve(spec, build_dataset(spec)), Parallel(torch.device("cpu")), folder)
    for parameter in state.trained.values():
        parameter.grad = torch.zeros_like(parameter)
    state.optimizer.step(1e-4)
    return state


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("depth", type=int, nargs="?", default=12)
    depth = parser.parse_args().depth
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        state = state_of(depth, folder / "none")
        saver = Saver(folder / "behind", state.engine, 2, None)
        stops: dict[str, list[float]] = {"waiting": [], "behind": []}
        for round_ in range(1, ROUNDS + 1):
            began = time.perf_counter()
            assert state.spoilt is None
            checkpoint.save(folder / "waiting", round_, state.parts, state.told, keep=2)
            stops["waiting"].append(time.perf_counter() - began)
            began = time.perf_counter()
            assert state.spoilt is None
            saver.begin(round_, state.parts, state.told)
            stops["behind"].append(time.perf_counter() - began)
            saver.finish()  # or the next round would wait for it
        waiting, behind = (median(own) for own in stops.values())
    size = sum(tensor.nbytes for part in state.parts.values() for tensor in part.values())
    print(f"state {size / 1e6:.0f} MB: waits {waiting:.2f} s for the disk, {behind:.3f} s for the copy")
    print(f"ratio {behind / waiting:.3f}; {size / 1e9 / behind:.1f} GB/s; {behind / _STEPS:.3%} of {_STEPS:.0f} s")


if __name__ == "__main__":
    main()
