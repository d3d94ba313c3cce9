"""What a trained run of shapes has learned, by the judge and by its losses: python benchmarks/shapes.py [RUN]

Every point draws the same captions of held-out combinations from the same seeds. Prints Markdown tables, writes a plot.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, cast

import matplotlib
import torch
from torch import Tensor

import pixelflow
from pixelflow.core.assembly import build_plan
from pixelflow.core.cascade import Cascade
from pixelflow.core.interfaces import Sampler
from pixelflow.core.sampling import SeededNoise, generate
from pixelflow.core.schedule import Stage
from pixelflow.data.shapes.dataset import Shapes
from pixelflow.data.shapes.judge import scores
from pixelflow.data.shapes.scenes import Scene
from pixelflow.data.shapes.wording import worded
from pixelflow.data.shapes.world import COUNTS, OPPOSITES, SHAPES, TASKS
from pixelflow.generation.draw import evaluating
from pixelflow.generation.run import Run
from pixelflow.generation.settings import changed_sampling
from pixelflow.system.errors import PixelflowError

GUIDANCE = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
STEPS = (2, 4, 8, 15, 30)
BATCH = 60

Points = dict[float, dict[str, float]]
"""Setting -> task -> share of right images, or of the loss."""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
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
    print(table(f"steps a stage, guidance {best:g}", over_steps), flush=True)
    given = {stages: judged_from_real(run, options.images, best, own, stages) for stages in range(run.spec.stages)}
    print(table("first stages taken from real images", given), flush=True)
    print(table("a changed caption costs, % of the loss, in stage", changed_captions(run, options.images)))
    options.out.mkdir(parents=True, exist_ok=True)
    plot(over_guidance, over_steps, f"steps a stage, guidance {best:g}", options.out / "shapes.png")


def judged(run: Run, images: int, guidance: float, steps: int) -> dict[str, float]:
    """Share of right images, by task, on the first captions of the test split."""
    height, width = run.spec.image.size
    data = Shapes.Params(split="test").build(height=height, width=width, channels=3)
    captions = [data.sample(index, torch.Generator()).caption for index in range(images)]
    drawn = run.sample(prompts=captions, guidance=guidance, steps=steps)
    return scores(zip(drawn, captions, strict=True))


@dataclass
class Begun:
    """A sampler that ends the first `given` stages where real images do: it shows which stage errs."""

    sampler: Sampler
    cascade: Cascade
    real: Tensor
    """(b c h w)"""
    given: int

    def __post_init__(self) -> None:
        self._stages = iter(self.cascade.stages)

    def at(self, stage: Any) -> Any:
        return self

    def integrate(self, velocity: Any, x: Tensor, points: Sequence[float], white: Any) -> Tensor:
        stage = next(self._stages)
        if stage.index >= self.given:
            return self.sampler.integrate(velocity, x, points, white)
        clean = self.cascade.at_stage(self.real, stage)
        noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
        return self.cascade.states(clean, noise, torch.ones(len(clean)), stage)[0]


def judged_from_real(run: Run, images: int, guidance: float, steps: int, given: int) -> dict[str, float]:
    """As `judged`, with the first `given` stages' ends taken from the real images of the captions."""
    height, width = run.spec.image.size
    data = Shapes.Params(split="test").build(height=height, width=width, channels=3)
    samples = [data.sample(index, torch.Generator()) for index in range(images)]
    model, drawn = run.model, []
    plan = build_plan(changed_sampling(run.spec, {"guidance": guidance, "steps": steps}), run.spec.stages)
    for first in range(0, images, BATCH):
        part = samples[first : first + BATCH]
        begun = Begun(plan.sampler, model.cascade, torch.stack([sample.image for sample in part]), given)
        noise = SeededNoise(range(first, first + len(part)), model.device)
        with evaluating(model):
            condition = model.condition(model.prepare({"caption": [sample.caption for sample in part]}))
            null = model.condition(model.null(len(part)))
            own_plan = replace(plan, sampler=cast("Sampler", begun))
            drawn += list(generate(model, own_plan, condition, null, noise, (3, height, width))[0])
    return scores((image, str(sample.caption)) for image, sample in zip(drawn, samples, strict=True))


def changed_captions(run: Run, images: int) -> Points:
    """By how much the loss of each stage grows if one thing in the caption is made wrong, by task.

    The images are of the training split under another seed: not seen in training, but nothing in them is held out.

    A model that takes a caption for a bag of words loses nothing by a relation turned round or two colours exchanged.
    """
    height, width = run.spec.image.size
    data = Shapes.Params(count=2**31, seed=run.spec.seed + 1).build(height=height, width=width, channels=3)
    shown: dict[str, list[tuple[Tensor, str, str]]] = {task: [] for task in TASKS}
    for index in count():
        scene = data.scene(index)
        pair, rows = right_and_wrong(scene, index), shown[scene.meaning.task]
        if pair is not None and len(rows) < images // len(TASKS):
            rows.append((data.sample(index, torch.Generator()).image, *pair))
        if all(len(rows) == images // len(TASKS) for rows in shown.values()):
            break
    costs: Points = {stage.index: {} for stage in run.model.cascade.stages}
    with evaluating(run.model):
        for task, rows in shown.items():
            images_of_task, right, wrong = (list(column) for column in zip(*rows, strict=True))
            for stage in run.model.cascade.stages:
                losses = [loss_of(run, torch.stack(images_of_task), captions, stage) for captions in (right, wrong)]
                costs[stage.index][task] = losses[1] / losses[0] - 1
    return costs


def right_and_wrong(scene: Scene, seed: int) -> tuple[str, str] | None:
    """A caption of a scene and the same with one thing wrong; None if nothing can be."""
    meaning, random = scene.meaning, Random(seed)
    first, *others = meaning.parts
    if meaning.relation is not None:
        wrong = replace(meaning, relation=OPPOSITES[meaning.relation])
    elif others and first.colour is not None:
        exchanged = (replace(first, colour=others[0].colour), replace(others[0], colour=first.colour))
        wrong = replace(meaning, parts=exchanged)
    elif first.count > 1:
        number = random.choice([number for number in COUNTS if number != first.count])
        wrong = replace(meaning, parts=(replace(first, count=number),))
    else:
        shape = random.choice([shape for shape in SHAPES if shape not in {part.shape for part in meaning.parts}])
        wrong = replace(meaning, parts=(replace(first, shape=shape), *others))
    if wrong == meaning:
        return None
    right_words, wrong_words = (
        worded(Random(seed), claim, scene.size, scene.ground, names_ground=False) for claim in (meaning, wrong)
    )
    return right_words, wrong_words


def loss_of(run: Run, images: Tensor, captions: list[str], stage: Stage) -> float:
    """Mean squared error of the velocity on states of a stage, from a seed of its own."""
    model, generator = run.model, torch.Generator().manual_seed(stage.index)
    clean = model.cascade.at_stage(images, stage)
    tau = torch.rand(len(clean), generator=generator)
    noise = torch.randn(clean.shape, generator=generator)
    state, velocity = model.cascade.states(clean, noise, tau, stage)
    condition = model.condition(model.prepare({"caption": captions}))
    return float((model([state], [stage], [tau], condition)[0] - velocity).square().mean())


def table(name: str, points: Points) -> str:
    tasks = list(next(iter(points.values())))
    lines = [f"| {name} | {' | '.join(task.replace('_', ' ') for task in tasks)} |", "|---" * (len(tasks) + 1) + "|"]
    for setting, shares in points.items():
        lines.append(f"| {setting:g} | {' | '.join(f'{round(100 * share)}' for share in shares.values())} |")
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
    panels[1].minorticks_off()
    panels[0].set(ylabel="right images, %")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center", fontsize=8)
    figure.savefig(file, dpi=90)


if __name__ == "__main__":
    try:
        main()
    except PixelflowError as error:
        sys.exit(str(error))
