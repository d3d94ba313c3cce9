"""The judge's scores of a trained run of shapes over guidance and over steps: python benchmarks/shapes.py [RUN]

Every point draws the same captions of held-out combinations from the same seeds. Prints Markdown tables, writes a plot.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib
import torch

import pixelflow
from pixelflow.data.shapes.dataset import Shapes
from pixelflow.data.shapes.judge import scores
from pixelflow.run import Run

GUIDANCE = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
STEPS = (2, 4, 8, 15, 30)

Points = dict[float, dict[str, float]]
"""Setting -> task -> share of right images."""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("run", type=Path, nargs="?", default=Path("runs/shapes_t2i"))
    arguments.add_argument("--images", type=int, default=300)
    arguments.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    run = pixelflow.load(options.run)
    own = int(run.spec.sampling.steps) if isinstance(run.spec.sampling.steps, int) else 15
    over_guidance = {scale: judged(run, options.images, scale, own) for scale in GUIDANCE}
    print(table("guidance", over_guidance), flush=True)
    best = max(over_guidance, key=lambda scale: over_guidance[scale]["overall"])
    over_steps = {steps: judged(run, options.images, best, steps) for steps in STEPS}
    print(table(f"steps a stage, guidance {best:g}", over_steps))
    options.out.mkdir(parents=True, exist_ok=True)
    plot(over_guidance, over_steps, f"steps a stage, guidance {best:g}", options.out / "shapes.png")


def judged(run: Run, images: int, guidance: float, steps: int) -> dict[str, float]:
    """Share of right images, by task, on the first captions of the test split."""
    height, width = run.spec.image.size
    data = Shapes.Params(split="test").build(height=height, width=width, channels=3)
    captions = [data.sample(index, torch.Generator()).caption for index in range(images)]
    drawn = run.sample(prompts=captions, guidance=guidance, steps=steps)
    return scores(zip(drawn, captions, strict=True))


def table(name: str, points: Points) -> str:
    tasks = list(next(iter(points.values())))
    lines = [f"| {name} | {' | '.join(task.replace('_', ' ') for task in tasks)} |", "|---" * (len(tasks) + 1) + "|"]
    for setting, shares in points.items():
        lines.append(f"| {setting:g} | {' | '.join(f'{100 * share:.0f}' for share in shares.values())} |")
    return "\n".join(lines) + "\n"


def plot(over_guidance: Points, over_steps: Points, steps_name: str, file: Path) -> None:
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 2, figsize=(8, 3.2), layout="constrained", sharey=True)
    for axes, points, name in zip(panels, (over_guidance, over_steps), ("guidance", steps_name), strict=True):
        for task in next(iter(points.values())):
            shares = [100 * points[setting][task] for setting in points]
            width = 2.4 if task == "overall" else 1.0
            axes.plot(list(points), shares, marker="o", markersize=3, linewidth=width, label=task.replace("_", " "))
        axes.set(xlabel=name, ylim=(0, 100))
        axes.grid(visible=True, alpha=0.2)
    panels[1].set(xscale="log", xticks=list(over_steps), xticklabels=[f"{steps:g}" for steps in over_steps])
    panels[0].set(ylabel="right images, %")
    panels[1].legend(fontsize=7)
    figure.savefig(file, dpi=90)


if __name__ == "__main__":
    main()
