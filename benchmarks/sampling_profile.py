"""Where the time of sampling goes: the share spent inside the network's evaluations, for every sampler.

    python benchmarks/sampling_profile.py
    python benchmarks/sampling_profile.py --depth 28 --heads 16 --batch 8 --precision bfloat16  # the paper's XL

A class-conditional run of four stages with the paper's patches, operators and stage-wise guidance, random weights.
What is not the network is noise, operators, the solver's and the guidance's own arithmetic, and transfers.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

import torch

from pixelflow.core import document, plugins, reading
from pixelflow.core.assembly import build_model
from pixelflow.core.model import FlowModel
from pixelflow.core.registry import registry
from pixelflow.core.spec import ExperimentSpec
from pixelflow.generation.draw import draw
from pixelflow.system.device import choose_device
from pixelflow.system.errors import PixelflowError

SPEC = """
name: profile
data: digits
cascade: {stages: 4, patch: 4}
backbone: {type: dit, head_dim: 72}
conditioners: [{type: class_label, classes: 1000}]
sampling: {guidance: {type: stagewise, scale: 2.4}}
"""


class Stopwatch:
    """Seconds between the start and the end of every evaluation of a network, the device's queue included."""

    def __init__(self, model: FlowModel) -> None:
        self.seconds, self.calls = 0.0, 0
        self._device, self._started = model.device, 0.0
        model.backbone.register_forward_pre_hook(lambda *_: self._start())
        model.backbone.register_forward_hook(lambda *_: self._stop())

    def now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()

    def _start(self) -> None:
        self._started = self.now()

    def _stop(self) -> None:
        self.seconds += self.now() - self._started
        self.calls += 1


def make_spec(options: argparse.Namespace, sampler: str) -> ExperimentSpec:
    """The spec with the wanted sizes."""
    changes = [
        f"image.size={options.size}",
        f"backbone.depth={options.depth}",
        f"backbone.heads={options.heads}",
        f"sampling.steps={options.steps}",
        f"sampling.precision={options.precision}",
        f"sampling.sampler={sampler}",
    ]
    return reading.validate(ExperimentSpec, reading.override(document.parse(SPEC, "profile"), changes))


def profile(model: FlowModel, spec: ExperimentSpec, batch: int) -> tuple[float, float, float]:
    """Seconds of one batch, seconds of it in the network, and evaluations an image."""
    watch = Stopwatch(model)
    values = {"label": list(range(batch))}
    next(draw(model, spec, values, range(batch)))
    watch.seconds = 0.0
    began = watch.now()
    drawn = next(draw(model, spec, values, range(batch)))
    return watch.now() - began, watch.seconds, sum(drawn.nfe)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("size", 256), ("depth", 2), ("heads", 4), ("batch", 1), ("steps", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--samplers", nargs="*", help="by default all with fixed steps")
    parser.add_argument("--device")
    options = parser.parse_args(arguments)
    plugins.load()
    fixed = [name for name, entry in registry.of_kind("sampler").items() if not entry.cls.is_adaptive]
    print(f"{'sampler':>16} {'s/image':>9} {'evaluations':>12} {'in network':>11}")
    for sampler in options.samplers or fixed:
        torch.manual_seed(0)
        spec = make_spec(options, sampler)
        model = build_model(spec).to(choose_device(options.device))
        seconds, inside, evaluations = profile(model, spec, options.batch)
        print(f"{sampler:>16} {seconds / options.batch:9.3f} {evaluations:12g} {inside / seconds:11.2%}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except PixelflowError as error:
        sys.exit(str(error))
