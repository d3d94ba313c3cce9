"""Training and sampling speed as a share of the matrix-multiply peak: python benchmarks/throughput.py [SPEC ...]

Every figure is a ratio of things measured in this run. The peak is the best of square float32 (or bfloat16) products.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from pixelflow.core import reading
from pixelflow.core.assembly import build_model
from pixelflow.core.model import FlowModel
from pixelflow.core.spec import ExperimentSpec
from pixelflow.generation.draw import draw
from pixelflow.planning import FLOP_PER_MAC, costs
from pixelflow.training.loader import Batch
from pixelflow.training.objective import Objective

ROOT = Path(__file__).parent.parent
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
CLASSES = 10


def main(names: Sequence[str]) -> None:
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    print(f"device {device}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    for name in names or ("specs/digits.yaml", "specs/cifar10.yaml"):
        spec = read(ROOT / name)
        model = scrambled(build_model(spec)).to(device)
        cost = costs(spec)
        peak = matmul_peak(DTYPES[spec.training.precision], device)
        rate = training_rate(model, spec, device)
        share = 3 * FLOP_PER_MAC * cost.forward_macs * rate / peak
        print(f"{name}: training {rate:.1f} images/s, {share:.0%} of {shown(spec.training.precision, peak)}")
        peak = matmul_peak(DTYPES[spec.sampling.precision], device)
        seconds = sampling_seconds(model, spec)
        share = FLOP_PER_MAC * cost.sample_macs / seconds / peak
        print(f"{name}: sampling {seconds:.4f} s/image, {share:.0%} of {shown(spec.sampling.precision, peak)}")


def shown(precision: str, peak: float) -> str:
    """A peak for people."""
    return f"{peak / 1e9:.0f} GFLOP/s ({precision})"


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


def matmul_peak(dtype: torch.dtype, device: torch.device) -> float:
    """FLOP/s of the best square product."""
    best = 0.0
    for side in (512, 1024, 2048) if device.type == "cpu" else (4096, 8192):
        a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        best = max(best, 2.0 * side**3 / best_seconds(lambda a=a, b=b: a @ b, repeats=5))
    return best


def best_seconds(call: Callable[[], object], repeats: int) -> float:
    """The shortest of several timed calls, after one to warm up."""
    call()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        call()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    return min(times)


def training_rate(model: FlowModel, spec: ExperimentSpec, device: torch.device) -> float:
    """Images a second of forward, backward and optimizer."""
    size = spec.training.batch_size
    batch = Batch(torch.randn(size, spec.image.channels, *spec.image.size), labels(size))
    objective, optimizer = Objective(model.train(), spec), torch.optim.AdamW(model.parameters())

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=spec.training.precision == "bfloat16"):
            losses = objective.losses(objective.work(batch, 0))
        torch.cat(losses).mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    return size / best_seconds(step, repeats=8)


def sampling_seconds(model: FlowModel, spec: ExperimentSpec) -> float:
    """Seconds an image, in the spec's batches."""
    size = min(spec.sampling.batch_size, 64)
    return best_seconds(lambda: list(draw(model, spec, labels(size), range(size))), repeats=3) / size


def labels(count: int) -> Mapping[str, list[int]]:
    return {"label": [index % CLASSES for index in range(count)]}


if __name__ == "__main__":
    main(sys.argv[1:])
