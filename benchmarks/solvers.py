"""Error of every solver against its evaluations, on a trained run: python benchmarks/solvers.py [RUN] [--images 32]

The error is the root mean square difference, over pixels in [-1, 1], to the same images drawn with 200 steps of RK4 in
each stage. Stochastic solvers are left out: their images are not meant to be the same. Writes a plot and a table.
"""

from __future__ import annotations

import argparse
import math
import sys
from itertools import pairwise
from pathlib import Path

import matplotlib
import torch
from torch import Tensor

import pixelflow
from pixelflow.core.component import ComponentParams
from pixelflow.core.interfaces import Sampler
from pixelflow.core.registry import registry
from pixelflow.generation.draw import draw as draw_batches
from pixelflow.generation.run import Run
from pixelflow.generation.settings import changed_sampling
from pixelflow.system.errors import PixelflowError

FOLDER = Path(__file__).parent / "results"
REFERENCE_STEPS = 200
STEPS = (2, 4, 8, 16, 32)
TOLERANCES = (1e-1, 1e-2, 1e-3, 1e-4)
STOCHASTIC = ("sde_euler",)

Curve = list[tuple[float, float]]
"""(evaluations an image, error)"""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("run", type=Path, nargs="?", default=Path("runs/digits"))
    arguments.add_argument("--images", type=int, default=32)
    arguments.add_argument("--guidance", type=float, default=1.5)
    options = arguments.parse_args()
    run = pixelflow.load(options.run)
    reference, _ = draw(run, registry.of_kind("sampler")["rk4"].cls.Params(), REFERENCE_STEPS, options)
    curves = {
        name: curve(run, entry.cls, reference, options)
        for name, entry in registry.of_kind("sampler").items()
        if name not in STOCHASTIC
    }
    FOLDER.mkdir(exist_ok=True)
    text, picture = (FOLDER / f"solvers-{run.spec.name}.{ending}" for ending in ("md", "png"))
    text.write_text(table(curves, run, options))
    plot(curves, run, picture)
    print(f"written: {text}, {picture}")


def draw(run: Run, sampler: ComponentParams, steps: int, options: argparse.Namespace) -> tuple[Tensor, float]:
    """Images (b c h w) and the evaluations that each took."""
    sampling = changed_sampling(run.spec, {"sampler": sampler, "steps": steps, "guidance": options.guidance})
    labels = {"label": [index % len(run.labels) for index in range(options.images)]}
    drawn = list(draw_batches(run.model, run.spec, labels, range(options.images), sampling=sampling))
    return torch.cat([batch.images for batch in drawn]), sum(drawn[0].nfe)


def curve(run: Run, sampler: type[Sampler], reference: Tensor, options: argparse.Namespace) -> Curve:
    """Errors over steps, or over tolerances for adaptive solvers."""
    if sampler.is_adaptive:
        settings = [(sampler.Params(rtol=rtol, atol=rtol * 1e-3), 1) for rtol in TOLERANCES]
    else:
        settings = [(sampler.Params(), steps) for steps in STEPS]
    points = []
    for params, steps in settings:
        images, evaluations = draw(run, params, steps, options)
        points.append((evaluations, float((images - reference).square().mean().sqrt())))
        print(f"{sampler.type_name():18} {evaluations:7.0f} evaluations  error {points[-1][1]:.5f}", flush=True)
    return points


def table(curves: dict[str, Curve], run: Run, options: argparse.Namespace) -> str:
    """Markdown: for each solver its points, and the evaluations it needs for an error of 0.02."""
    lines = [
        f"# Solvers on {run.spec.name}, step {run.step}",
        "",
        f"{options.images} images, guidance {options.guidance}; error: RMS to {REFERENCE_STEPS} RK4 steps a stage.",
        "Evaluations are per image over all stages; a guided one counts as two.",
        "",
        "| solver | evaluations: error | evaluations for 0.02 |",
        "|---|---|---|",
    ]
    for name, points in sorted(curves.items(), key=lambda item: needed(item[1])):
        shown = ", ".join(f"{evaluations:.0f}: {error:.4f}" for evaluations, error in points)
        count = needed(points)
        lines.append(f"| {name} | {shown} | {'-' if math.isinf(count) else f'{count:.0f}'} |")
    return "\n".join(lines) + "\n"


def needed(points: Curve, target: float = 0.02) -> float:
    """Evaluations at which the error reaches the target, interpolated in logarithms; infinite if it does not."""
    for (n0, e0), (n1, e1) in pairwise(points):
        if e1 <= target < e0:
            share = math.log(e0 / target) / math.log(e0 / e1)
            return math.exp(math.log(n0) + share * math.log(n1 / n0))
    return points[0][0] if points[0][1] <= target else math.inf


def plot(curves: dict[str, Curve], run: Run, file: Path) -> None:
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    for (name, points), marker in zip(curves.items(), "osD^v<>PX*dph", strict=False):
        style = "--" if registry.of_kind("sampler")[name].cls.is_adaptive else "-"
        axes.plot(*zip(*points, strict=True), style, marker=marker, markersize=5, linewidth=1.2, label=name)
    axes.set(xscale="log", yscale="log", xlabel="NFE per image", ylabel="RMS error to 200 steps")
    axes.set_title(f"Solvers on {run.spec.name} (step {run.step})")
    axes.grid(visible=True, which="both", alpha=0.2)
    axes.legend(fontsize=8, ncols=2)
    figure.savefig(file, dpi=110)


if __name__ == "__main__":
    try:
        main()
    except PixelflowError as error:
        sys.exit(str(error))
