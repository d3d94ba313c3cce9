"""Where a CPU's time goes, by operation: python benchmarks/operations.py [SPEC]

Shares of the CPU seconds of one thread, in a training step and in a sample of the spec, uncompiled. What Python itself
takes between operations is left out.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from throughput import CLASSES, ROOT, read, scrambled
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from pixelflow.core.assembly import build_model
from pixelflow.costs import speed
from pixelflow.costs.speed import sampling_speed

SHOWN = 20


class Clock(TorchDispatchMode):
    """Adds up the seconds of every operation, by its name and what its first tensor holds."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds, self.calls = Counter[str](), Counter[str]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        began = time.thread_time()
        given = func(*args, **(kwargs or {}))
        first = next((one for one in args if isinstance(one, Tensor)), None)
        name = func.overloadpacket.__name__ + ("" if first is None else f" {str(first.dtype).removeprefix('torch.')}")
        self.seconds[name] += time.thread_time() - began
        self.calls[name] += 1
        return given


def told(what: str, call: Callable[[], object]) -> None:
    """Call it once as it is and once by the clock, and print the shares."""
    call()
    began = time.thread_time()
    call()
    spent = time.thread_time() - began
    with Clock() as clock:
        call()
    whole = sum(clock.seconds.values())
    print(f"{what}: {spent:.3f} CPU seconds")
    for name, own in clock.seconds.most_common(SHOWN):
        print(f"{own / whole:7.1%}  {clock.calls[name]:5} calls  {name}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spec", nargs="?", default=str(Path("specs") / "digits.yaml"))
    name = parser.parse_args().spec
    torch.manual_seed(0)
    torch.set_num_threads(1)
    spec = read(ROOT / name)
    model = scrambled(build_model(spec))
    count = min(spec.sampling.batch_size, 16)
    told(f"{name}: {count} samples, twice", partial(sampling_speed, model, spec, CLASSES, count, peak=1.0, repeats=1))
    speed.best_seconds = clocked
    speed.training_speed(model, spec, CLASSES, peak=1.0)


def clocked(call: Callable[[], object], device: torch.device, repeats: int) -> float:
    """In place of `best_seconds`, for the step that is timed within."""
    told("a training step", call)
    return 1.0


if __name__ == "__main__":
    main()
