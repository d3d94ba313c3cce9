"""Pictures of settings and courses for the page."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from pixelflow.core.interfaces import Guidance
from pixelflow.core.schedule import Stage
from pixelflow.core.spec import SamplingSpec
from pixelflow.generation.run import Run

_POINTS = 50
"""Times of each stage."""


class _Probe:
    """Branches of which the conditional velocity is one and every other is zero: what comes out is the weight."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    def conditional(self, x: Tensor, tau: float) -> Tensor:
        return torch.ones_like(x)

    def unconditional(self, x: Tensor, tau: float) -> Tensor:
        return torch.zeros_like(x)

    def both(self, x: Tensor, tau: float) -> tuple[Tensor, Tensor]:
        return self.unconditional(x, tau), self.conditional(x, tau)

    def weak(self, x: Tensor, tau: float) -> Tensor:
        return torch.zeros_like(x)

    def clean_estimate(self, x: Tensor, velocity: Tensor, tau: float) -> Tensor:
        return velocity

    def velocity_from_clean(self, x: Tensor, clean: Tensor, tau: float) -> Tensor:
        return clean


def guidance_weights(run: Run, sampling: SamplingSpec) -> list[tuple[float, float]]:
    """(network time, weight of the conditional velocity) over all stages, in order."""
    guidance: Guidance = sampling.guidance.build()
    state, found = torch.zeros(1, 1, 1, 1), []
    for stage in run.model.cascade.stages:
        guided = guidance.guide(_Probe(stage))
        for tau in (index / _POINTS for index in range(_POINTS)):
            found.append((float(stage.network_time(tau)), float(guided(state, tau))))
    return found


def guidance_curve(run: Run, sampling: SamplingSpec) -> Image.Image:
    """The weight of the conditional velocity over all stages."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 2.6), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    times, values = zip(*guidance_weights(run, sampling), strict=True)
    axes.step(times, values, where="post", color="C0")
    axes.set_xlabel("network time, from noise (0) to image (1000)")
    axes.set_ylabel(f"weight of {sampling.guidance.component.type_name()}")
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return Image.open(buffer)


def loss_picture(runs: list[Path]) -> Image.Image:
    """What ``pixelflow plot`` draws; raises what `pixelflow.training.curves.courses` raises."""
    from pixelflow.training import curves

    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / curves.PICTURE
        curves.plot(curves.courses(runs), target)
        with Image.open(target) as picture:
            return picture.copy()
