"""Error over arithmetic where blocks are left out, beside fewer steps: python benchmarks/block_cache.py [RUN]

The error is the root mean square difference, over pixels in [-1, 1], to the same images by a fine reference (50 steps
of RK4 a stage). Arithmetic is that of the same sampler with N steps at every stage and all blocks.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from pixelflow.core.block_cache import BlockCacheSpec
from pixelflow.core.spec import SamplingSpec
from pixelflow.costs.planning import costs
from pixelflow.costs.speed import example_values
from pixelflow.generation.draw import draw, mean_nfe
from pixelflow.generation.run import Run
from pixelflow.generation.settings import changed_sampling
from pixelflow.system.errors import PixelflowError


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?", default=Path("runs/digits"))
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--sampler", default="euler")
    parser.add_argument("--images", type=int, default=16)
    given = parser.parse_args()
    run = Run.open(given.run, device="cpu")
    macs = [stage.once.macs for stage in costs(run.spec).stages]
    blocks = len(run.model.backbone.residual_blocks[1])

    def drawn(sampling: SamplingSpec) -> tuple[torch.Tensor, float]:
        """Images, and multiply-accumulates of one."""
        values = example_values(run.model, len(run.labels), given.images)
        parts = list(draw(run.model, run.spec, values, range(given.images), sampling=sampling))
        nfe = mean_nfe([(len(part.images), part.nfe) for part in parts])
        spent = [own * one for own, one in zip(macs, nfe, strict=True)]
        if (cache := sampling.block_cache) is not None:
            spent[-1] *= 1 - round(cache.share * blocks) / blocks * (1 - 1 / cache.every)
        return torch.cat([part.images for part in parts]), sum(spent)

    def changed(**changes: object) -> SamplingSpec:
        return changed_sampling(run.spec, {"sampler": given.sampler, **changes}, source="the benchmark")

    reference, _ = drawn(changed(sampler={"type": "rk4"}, steps=50))
    usual = changed(steps=given.steps)
    ways = {"all blocks": usual}
    for every in (2, 3, 4):
        for share in (0.5, 0.75):
            cache = BlockCacheSpec(every=every, share=share)
            ways[f"{share:.0%} of the blocks every {every}"] = usual.model_copy(update={"block_cache": cache})
    *first, last = usual.steps_of(run.spec.stages)
    for fewer in dict.fromkeys(round(last * part) for part in (0.8, 0.7, 0.6, 0.5)):
        ways[f"{fewer} steps at the last stage"] = changed(steps=[*first, fewer])
    whole = drawn(usual)[1]
    for name, sampling in ways.items():
        images, spent = drawn(sampling)
        error = float((images - reference).square().mean().sqrt())
        print(
            f"{given.sampler}, {given.steps} steps, {name:30} error {error:.4f}, arithmetic {spent / whole:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    try:
        main()
    except PixelflowError as error:
        sys.exit(str(error))
