"""How time and memory grow with the number of tokens: python benchmarks/growth.py [--quick]

Everything but attention should cost the same a token, however many there are: what is left of a block without its
attention is timed from 64 to 4,096 tokens, and likewise the memory that an evaluation holds at its highest. Then whole
evaluations by resolution, 64 to 1024 pixels at patch 16, against their arithmetic: a ratio above 1 is time that the
multiply-accumulates do not explain. One thread, CPU seconds; lengths take turns, so that other work hardly counts.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from statistics import median

import torch
from torch import Tensor

from pixelflow.backbones import transformer
from pixelflow.backbones.transformer import Block
from pixelflow.core import attention
from pixelflow.core.assembly import build_model
from pixelflow.core.condition import Condition
from pixelflow.core.document import Document
from pixelflow.core.model import FlowModel
from pixelflow.core.packing import layout_of
from pixelflow.core.reading import validate
from pixelflow.core.spec import ExperimentSpec

LENGTHS = (64, 256, 1024, 4096)
SIZES = (64, 128, 256, 512, 1024)
PATCH = 16
TOKENS = 8192
"""Of a batch: short sequences come in larger batches, so that every timing does the same work."""
HEADS, HEAD_DIM = 6, 64
LARGEST_DRIFT = 0.10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few and small, to see that it works")
    given = parser.parse_args()
    torch.set_num_threads(1)
    lengths, tokens, rounds = ((64, 256), 512, 1) if given.quick else (LENGTHS, TOKENS, 5)
    by_tokens(lengths, tokens, rounds)
    by_resolution(SIZES[:2] if given.quick else SIZES, rounds=1 if given.quick else 3)


def by_tokens(lengths: Sequence[int], tokens: int, rounds: int) -> None:
    """Time and memory a token of a block without attention, by the number of tokens of an image."""
    block = Block(HEADS, HEAD_DIM, 4 * HEADS * HEAD_DIM, None).eval()
    calls = {length: without_attention(block, length, tokens // length) for length in lengths}
    with torch.no_grad():
        seconds = by_turns(calls, rounds)
        memory = {length: highest(call) / tokens for length, call in calls.items()}
    for what, found, unit in (
        ("time", {n: 1e6 * s / tokens for n, s in seconds.items()}, "us"),
        ("memory", memory, "B"),
    ):
        base = found[lengths[0]]
        drift = max(abs(own / base - 1) for own in found.values())
        shown = ", ".join(f"{length}: {own:.4g} {unit} ({own / base:.2f})" for length, own in found.items())
        verdict = "flat" if drift <= LARGEST_DRIFT else "NOT flat"
        print(f"{what} a token without attention, by tokens: {shown}; {verdict} within {LARGEST_DRIFT:.0%}", flush=True)


def without_attention(block: Block, length: int, images: int) -> Callable[[], Tensor]:
    """A block's evaluation whose attention gives its values back."""
    side = int(length**0.5)
    layout = layout_of(((images, 1, side, side),), (1,), torch.device("cpu"))
    rope = transformer.rope_of(layout, HEAD_DIM)
    x, signal = torch.randn(images * length, HEADS * HEAD_DIM), torch.randn(images, HEADS * HEAD_DIM)

    def evaluate() -> Tensor:
        kept, attention._batched = attention._batched, lambda q, k, v, bias=None: v.flatten(0, 1)  # type: ignore[misc]
        try:
            found: Tensor = block(x, signal, Condition(), layout, rope)
            return found
        finally:
            attention._batched = kept

    return evaluate


def by_resolution(sizes: Sequence[int], rounds: int) -> None:
    """Time of one evaluation of an image by its size, over that of the smallest, against the arithmetic's."""
    spec = validate(ExperimentSpec, Document("the benchmark", {
        "name": "growth", "image": {"size": sizes[-1]}, "data": {"type": "image_folder", "root": "."},
        "cascade": {"stages": 1, "patch": PATCH},
        "backbone": {"type": "dit", "depth": 2, "heads": HEADS, "head_dim": HEAD_DIM},
    }))  # fmt: skip
    model = build_model(spec).eval()
    batch = {size: max(1, (sizes[-1] // size) ** 2 // 4) for size in sizes}
    with torch.no_grad():
        seconds = by_turns({size: evaluation(model, size, batch[size]) for size in sizes}, rounds)
    macs = {size: model.backbone.cost(size // PATCH, size // PATCH, 0, 0).macs for size in sizes}
    first = sizes[0]
    for size in sizes:
        spent, work = (own[size] / own[first] for own in ({n: s / batch[n] for n, s in seconds.items()}, macs))
        one = 1e3 * seconds[size] / batch[size]
        ratio = f"over {first} pixels {spent:.1f}, by arithmetic {work:.1f}: ratio {spent / work:.2f}"
        print(f"{size} pixels, {(size // PATCH) ** 2} tokens: {one:.1f} ms an image; {ratio}", flush=True)


def evaluation(model: FlowModel, size: int, count: int) -> Callable[[], object]:
    images, stage = torch.randn(count, 3, size, size), model.cascade.stages[0]
    return lambda: model([images], [stage], [torch.full((count,), 0.5)], Condition())


def by_turns(calls: dict[int, Callable[[], object]], rounds: int) -> dict[int, float]:
    """The median CPU seconds of each call, each called once before, in turn."""
    for call in calls.values():
        call()
    spent: dict[int, list[float]] = {key: [] for key in calls}
    for _ in range(rounds):
        for key, call in calls.items():
            began = time.process_time()
            call()
            spent[key].append(time.process_time() - began)
    return {key: median(own) for key, own in spent.items()}


def highest(call: Callable[[], object]) -> float:
    """Bytes that a call holds at most beside what is there before."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        call()
    held = most = 0
    for event in sorted(profile.events(), key=lambda one: one.time_range.start):
        held += event.self_cpu_memory_usage
        most = max(most, held)
    return float(most)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
