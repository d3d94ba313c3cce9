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
from pixelflow.training import curves
from pixelflow.training.curves import Course

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


class LossPicture:
    """What ``pixelflow plot`` draws of one run; of its metrics only what has come since is read."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self._courses: dict[str, Course] = {}

    def draw(self) -> Image.Image:
        """Raises DataError where there are no losses yet."""
        self._courses = self._courses or curves.courses([self._run])
        for course in self._courses.values():
            course.read_on()
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / curves.PICTURE
            curves.plot(self._courses, target)
            with Image.open(target) as picture:
                return picture.copy()
