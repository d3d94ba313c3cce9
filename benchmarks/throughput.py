"""Training and sampling speed as a share of the matrix-multiply peak: throughput.py [--compiled] [SPEC ...]

Every figure is a ratio of things measured in this run, as `pixelflow bench` measures them for a trained run, but that
one thread of a CPU is timed by the seconds that it works: what else the machine does then hardly counts.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch

from pixelflow.core import reading
from pixelflow.core.assembly import build_model
from pixelflow.core.compiling import compile_parts
from pixelflow.core.model import FlowModel
from pixelflow.core.spec import ExperimentSpec
from pixelflow.costs import speed
from pixelflow.costs.speed import matmul_peak, sampling_speed, training_speed
from pixelflow.system.errors import PixelflowError

ROOT = Path(__file__).parent.parent
CLASSES = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("specs", nargs="*", default=["specs/digits.yaml", "specs/cifar10.yaml"], metavar="SPEC")
    parser.add_argument("--compiled", action="store_true", help="training once more, with the blocks compiled")
    given = parser.parse_args()
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    for name in given.specs:
        spec = read(ROOT / name)
        torch.set_num_threads(spec.training.threads or torch.get_num_threads())
        if device.type == "cpu" and torch.get_num_threads() == 1:
            speed._now = lambda device: time.process_time()
        print(f"{name}: device {device}, {torch.get_num_threads()} threads, torch {torch.__version__}")
        model = scrambled(build_model(spec)).to(device)
        peak = matmul_peak(spec.sampling.precision, device)
        sampled = sampling_speed(model, spec, CLASSES, min(spec.sampling.batch_size, 64), peak, repeats=3)
        shown = f"{sampled.share:.0%} of {peak / 1e9:.0f} GFLOP/s ({spec.sampling.precision})"
        print(f"{name}: sampling {sampled.seconds:.4f} s/image, {shown}")
        peak = matmul_peak(spec.training.precision, device)
        for what in ("training", "training, compiled") if given.compiled else ("training",):
            if what != "training":
                compile_parts(model.backbone)
            trained = training_speed(model, spec, CLASSES, peak, repeats=8)
            shown = f"{trained.share:.0%} of {peak / 1e9:.0f} GFLOP/s ({spec.training.precision})"
            print(f"{name}: {what} {trained.images_per_second:.1f} images/s, {shown}")


def read(path: Path) -> ExperimentSpec:
    """A spec, with the number of classes given so that no data are needed."""
    document = reading.override(reading.read_document(path), ["conditioners=[{type: class_label, classes: 10}]"])
    return reading.validate(ExperimentSpec, document)


def scrambled(model: FlowModel) -> FlowModel:
    """Random weights where a fresh network has zeros, so that nothing is trivially cheap."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model


if __name__ == "__main__":
    try:
        main()
    except PixelflowError as error:
        sys.exit(str(error))
