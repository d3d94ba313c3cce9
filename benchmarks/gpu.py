"""One device, one table: is it right there, how fast.

    python benchmarks/gpu.py [--seconds 540] [--brief] [--out FOLDER] [--tiny]

Needs torch and this repository. The parts come in the order of what is aimed at, and with ``--brief`` training and
sampling leave out all else. Every part that fails is a row that says so; what the time does not allow is left out and
named. ``--tiny`` runs every part with a small network, on a CPU too. Seconds an image are those of 30 Euler steps a
stage with stage-wise guidance, from fewer steps that were timed. With ``--cifar10 FOLDER`` (class folders in its
``train`` and ``test``), the time that is left then trains a class model, whose images are measured.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import pixelflow
from pixelflow.backbones.layers import MLP
from pixelflow.core import attention, compiling, float8, reading
from pixelflow.core.assembly import build_dataset, build_model
from pixelflow.core.model import FlowModel
from pixelflow.core.packing import layout_of
from pixelflow.core.spec import ExperimentSpec
from pixelflow.costs import speed
from pixelflow.costs.memory import Devices, device_memory
from pixelflow.costs.planning import costs
from pixelflow.generation.draw import draw
from pixelflow.official.exchange import import_release
from pixelflow.runs.weights import SkipInit
from pixelflow.system.parallel import Parallel
from pixelflow.system.stopping import StopSignals
from pixelflow.training.loader import batches
from pixelflow.training.loop import Trainer
from pixelflow.training.session import train
from tests.golden.published import publish

CLASSES = 1000
STEPS = 30
"""Euler steps a stage of the images whose seconds are told."""
TIMED_STEPS, FEW_STEPS = 4, 2
"""Enough for graphs, which evaluations become when they come for the third time; and those of large batches."""
_LARGE = 8


@dataclass(frozen=True)
class Row:
    part: str
    what: str
    value: str


@dataclass
class Bench:
    """The rows so far, written whenever one is added, and the time that is left."""

    device: torch.device
    tiny: bool
    brief: bool
    ends: float
    out: Path | None
    cifar10: Path | None = None
    rows: list[Row] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    peak: float = 0.0
    """FLOP/s of the best 16-bit matrix product."""

    def add(self, part: str, what: str, value: str, figure: float | None = None) -> None:
        self.rows.append(Row(part, what, value))
        if figure is not None:
            self.figures[f"{part}: {what}"] = figure
        print(f"{part:10} {what:58} {value}", flush=True)
        if self.out is not None:
            document = {"rows": [asdict(row) for row in self.rows], "figures": self.figures}
            (self.out / "gpu.json").write_text(json.dumps(document, indent=1))

    @property
    def left(self) -> float:
        return self.ends - time.monotonic()

    def attempt(self, part: str, what: str, needs: float, call: Callable[[], None]) -> None:
        """Run one measurement if about `needs` seconds are left for it; a failure is a row."""
        if self.left < needs and not self.tiny:
            self.add(part, what, f"left out: {self.left:.0f} s are left")
            return
        try:
            call()
        except Exception as error:
            traceback.print_exc()
            self.add(part, what, f"FAILED: {type(error).__name__}: {' '.join(str(error).split())[:200]}")
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def main(arguments: Sequence[str] | None = None) -> Bench:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=540.0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--brief", action="store_true", help="of training and sampling what is aimed at alone")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--cifar10", type=Path, metavar="FOLDER", help="for the part pictures")
    given = parser.parse_args(arguments)
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    torch._dynamo.config.recompile_limit = 64  # each stage and batch size is a layout of its own
    is_tiny = given.tiny or device.type == "cpu"
    if is_tiny and not given.tiny:
        print("there is no GPU here: every part runs with a small network, as with --tiny", flush=True)
    bench = Bench(device, is_tiny, given.brief, time.monotonic() + given.seconds, given.out, given.cifar10)
    bench.peak = speed.matmul_peak("bfloat16", device)
    for name in given.parts.split(","):
        PARTS[name](bench)
    bench.add("end", "seconds left", f"{bench.left:.0f}")
    return bench


def machine(bench: Bench) -> None:
    """The ceilings of the device."""
    device = bench.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    bench.add("machine", "device", f"{name}, torch {torch.__version__}")
    bench.add("machine", "bf16 matrix product", f"{bench.peak / 1e12:.1f} TFLOP/s", bench.peak / 1e12)
    for allowed in (False, True):
        with tf32(allowed):
            rate = speed.matmul_peak("float32", device) / 1e12
        bench.add("machine", f"float32 matrix product, TF32 {'on' if allowed else 'off'}", f"{rate:.1f} TFLOP/s", rate)
    source = torch.empty(1 << (20 if bench.tiny else 31), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    moved = 2e-9 * source.numel() / speed.best_seconds(lambda: target.copy_(source), device, repeats=5)
    bench.add("machine", "copy, read and written", f"{moved:.0f} GB/s", moved)


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def parity(bench: Bench) -> None:
    """The release's recorded numbers on this device, and the kernels against each other."""
    for name in ("c2i", "t2i"):
        bench.attempt("parity", f"release {name}", 20, partial(_golden, bench, name))
    bench.attempt("parity", "packed kernels", 20, partial(_kernels, bench))
    bench.attempt("parity", "MLP without gradients", 5, partial(_mlp, bench))


def _golden(bench: Bench, name: str) -> None:
    with np.load(ROOT / f"tests/golden/official_{name}_4stage.npz") as file, tempfile.TemporaryDirectory() as place:
        values = dict(file)
        import_release(publish(Path(place) / "published", values), Path(place) / "run")
        run = pixelflow.load(Path(place) / "run", device=str(bench.device))
    for precision in ("float32", "bfloat16"):
        worst = 0.0
        for stage in range(4):
            x, t, v = (torch.from_numpy(values[f"forward/{stage}/{key}"]) for key in "xtv")
            given: dict[str, Any] = {}
            if name == "c2i":  # the release's number of "no class" is no label of ours
                known = torch.from_numpy(values[f"forward/{stage}/y"]) < len(run.labels)
                x, t, v = x[known], t[known], v[known]
                given = {"labels": torch.from_numpy(values[f"forward/{stage}/y"])[known]}
            if name == "t2i":
                given = {key: torch.from_numpy(values[f"forward/{stage}/{key}"]) for key in ("text", "mask")}
            with torch.autocast(bench.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
                found = run.velocity(x, t, **given)
            worst = max(worst, relative(found, v))
        bench.add("parity", f"release {name}, forward, {precision}", f"{worst:.1e} relative error", worst)


def relative(found: Tensor, wanted: Tensor) -> float:
    found, wanted = found.double().cpu(), wanted.double().cpu()
    return float((found - wanted).norm() / wanted.norm())


def _kernels(bench: Bench) -> None:
    """Every usable kernel on a packed batch of four resolutions, forward and backward, beside float32."""
    sides = (8, 16, 32, 64) if not bench.tiny else (2, 4)
    layout = layout_of(tuple((4, 3, side, side) for side in sides), (1,) * len(sides), bench.device)
    heads, dim = (16, 72) if not bench.tiny else (2, 8)
    q, k, v, grad = (torch.randn(layout.tokens, heads, dim, device=bench.device) for _ in range(4))
    wanted = _attended("grouped", (q, k, v), grad, layout)
    half = tuple(part.bfloat16() for part in (q, k, v))
    for name, reason in attention.available_kernels(bench.device.type, torch.bfloat16).items():
        if reason is not None:
            bench.add("parity", f"kernel {name}", f"not here: {reason}")
            continue
        try:
            found = _attended(name, half, grad.bfloat16(), layout)
        except (NotImplementedError, RuntimeError) as error:
            bench.add("parity", f"kernel {name}", f"FAILED: {' '.join(str(error).split())[:150]}")
            continue
        worst = max(relative(own, other) for own, other in zip(found, wanted, strict=True))
        seconds = speed.best_seconds(lambda name=name: _attended(name, half, grad.bfloat16(), layout), bench.device, 5)
        bench.add("parity", f"kernel {name}, forward and backward", f"{worst:.1e} error, {1e3 * seconds:.2f} ms", worst)


def _mlp(bench: Bench) -> None:
    """The MLP with 16-bit weights, whose GELU is a part of its first product where gradients are not wanted."""
    layer, x = MLP(1152, 4608).to(bench.device), torch.randn(256, 1152, device=bench.device)
    with torch.no_grad():
        wanted, half = layer(x), layer.bfloat16()
        for own, context in (("", torch.no_grad), (" as in training", torch.enable_grad)):
            with context():
                worst = relative(half(x.bfloat16()).detach(), wanted)
            bench.add("parity", f"MLP in bfloat16{own}", f"{worst:.1e} from float32", worst)


def _attended(name: str, qkv: Sequence[Tensor], grad: Tensor, layout: Any) -> list[Tensor]:
    leaves = [part.detach().clone().requires_grad_() for part in qkv]
    output = attention.KERNELS[name](*leaves, layout)
    output.backward(grad.to(output.dtype))
    return [output.detach(), *(leaf.grad for leaf in leaves if leaf.grad is not None)]


BACKENDS = ("flash", "cudnn", "mem_efficient")


@contextmanager
def backend(name: str) -> Iterator[None]:
    """Only one of torch's own attention kernels, and the plain one where it cannot run."""
    switches = {own: getattr(torch.backends.cuda, f"enable_{own}_sdp") for own in BACKENDS}
    before = {own: getattr(torch.backends.cuda, f"{own}_sdp_enabled")() for own in BACKENDS}
    for own, switch in switches.items():
        switch(own == name)
    try:
        yield
    finally:
        for own, switch in switches.items():
            switch(before[own])


def kernels(bench: Bench) -> None:
    """FLOP/s of torch's own attention kernels by head dimension and length, 16-bit."""
    heads, tokens = (16, 1 << 16) if not bench.tiny else (2, 256)
    for dim in (64, 72, 128):
        for length in (256, 4096) if not bench.tiny else (16,):
            for name in BACKENDS:
                call = partial(_backend_rate, bench, name, (tokens // length, heads, length, dim))
                bench.attempt("attention", f"{name}, head {dim}, {length} tokens", 5, call)


def _backend_rate(bench: Bench, name: str, shape: tuple[int, int, int, int]) -> None:
    count, heads, length, dim = shape
    packed = torch.randn(3, count, length, heads, dim, device=bench.device, dtype=torch.bfloat16)
    q, k, v = (part.transpose(1, 2).requires_grad_() for part in packed)
    grad = torch.randn_like(q)
    attend = torch.nn.functional.scaled_dot_product_attention

    def both() -> None:
        torch.autograd.grad(attend(q, k, v), (q, k, v), grad)

    flop = 4.0 * count * heads * length**2 * dim
    with backend(name):
        with torch.no_grad():
            forward = speed.best_seconds(lambda: attend(q, k, v), bench.device, 5)
        whole = speed.best_seconds(both, bench.device, 5)
    shown = f"{1e-12 * flop / forward:.0f} TFLOP/s forward, {3.5e-12 * flop / whole:.0f} with backward"
    bench.add("attention", f"{name}, head {dim}, {length} tokens", shown, 3.5e-12 * flop / whole)


def spec_of(bench: Bench, *overrides: str) -> ExperimentSpec:
    """The released class model, or a small one."""
    document = reading.read_document(ROOT / "specs/paper/imagenet256_patch4_kickoff8.yaml")
    small = ["backbone.depth=2", "backbone.heads=2", "backbone.head_dim=16", "image.size=64"] if bench.tiny else []
    small += ["cascade.kickoff=2"] if bench.tiny else []
    sampling = ["sampling.sampler=euler", f"sampling.steps={TIMED_STEPS}"]
    return reading.validate(ExperimentSpec, reading.override(document, [*small, *sampling, *overrides]))


def make(bench: Bench, spec: ExperimentSpec) -> FlowModel:
    with SkipInit():
        model = build_model(spec).to(bench.device)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(std=0.02)
            if "norm" in name:
                parameter.add_(1)
    return model


@contextmanager
def chosen_kernel(name: str) -> Iterator[None]:
    """One kernel for attention, or the one that is chosen by measurement: auto."""
    before = os.environ.get(attention.BACKEND_VARIABLE)
    os.environ[attention.BACKEND_VARIABLE] = name
    attention._chosen.cache_clear()
    torch.compiler.reset()
    try:
        yield
    finally:
        os.environ.pop(attention.BACKEND_VARIABLE)
        if before is not None:
            os.environ[attention.BACKEND_VARIABLE] = before
        attention._chosen.cache_clear()
        torch.compiler.reset()


WAYS: dict[str, dict[str, object]] = {
    "eager": {},
    "graphs": {"cuda_graphs": True},
    "compiled": {"compile": True},
    "compiled graphs": {"compile": True, "cuda_graphs": True},
    "float8": {"compile": True, "precision": "float8"},
}
"""Settings of sampling beside 16-bit weights."""


def sampling(bench: Bench) -> None:
    spec = spec_of(bench)
    model = make(bench, spec).eval()
    sizes = (1, 4, 50) if not bench.tiny else (1, 2)
    rows = [("compiled", sizes[-1]), ("compiled graphs", 1), ("float8", sizes[-1])]
    if not bench.brief:
        bench.attempt("sampling", "graphs beside no graphs", 20, partial(_graphs_agree, bench, model, spec))
        rows += [(what, size) for size in sizes for what in WAYS if (what, size) not in rows]
        rows = [row for row in rows if "graphs" not in row[0] or row[1] <= _LARGE]
    for what, size in rows:
        bench.attempt("sampling", f"{what}, batch {size}", 20, partial(_sampled, bench, model, spec, what, size))
        if (what, size) == rows[0] and not bench.brief:
            bench.attempt("sampling", "profile", 10, partial(_profiled_sample, bench, model, spec, size))


def _with(spec: ExperimentSpec, what: str) -> ExperimentSpec:
    """The spec with sampling in 16 bits, and the settings of a way."""
    settings: dict[str, object] = {"precision": "bfloat16", "compile": False, "cuda_graphs": False, **WAYS[what]}
    return spec.model_copy(update={"sampling": spec.sampling.model_copy(update=settings)})


def _graphs_agree(bench: Bench, model: FlowModel, spec: ExperimentSpec) -> None:
    """Two batches of images, one after the other, as they are and replayed."""
    labels, seeds = {"label": list(range(4))}, range(4)
    plain, replayed = (
        torch.cat([part.images for part in draw(model, spec, labels, seeds, sampling=own)])
        for own in [
            _with(spec, what).sampling.model_copy(update={"batch_size": 2, "steps": 4}) for what in ("eager", "graphs")
        ]
    )
    bench.add("sampling", "graphs beside no graphs", f"{relative(replayed, plain):.1e} relative difference of images")


def _profiled_sample(bench: Bench, model: FlowModel, spec: ExperimentSpec, size: int) -> None:
    own = _with(spec, "compiled")
    profiled(bench, "sampling", lambda: speed.sampling_speed(model, own, CLASSES, size, bench.peak, repeats=1))


def profiled(bench: Bench, part: str, call: Callable[[], object]) -> None:
    """Where a device's time goes: matrix products, attention, the rest, and the longest of the rest."""
    if bench.device.type != "cuda":
        return
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        call()
        torch.cuda.synchronize()
    spent: dict[str, float] = {}
    for event in profile.key_averages():
        spent[event.key] = spent.get(event.key, 0.0) + event.self_device_time_total
    total = sum(spent.values())
    kinds: dict[str, float] = {}
    for name, micros in spent.items():
        kinds[kind_of(name)] = kinds.get(kind_of(name), 0.0) + micros
    shares = ", ".join(
        f"{kind} {micros / total:.0%}" for kind, micros in sorted(kinds.items(), key=lambda own: -own[1])
    )
    bench.add(part, "share of the device's time", shares)
    for name, micros in sorted(spent.items(), key=lambda own: -own[1])[:24]:
        bench.add(part, f"  {micros / total:5.1%}", name[:100])


def kind_of(kernel: str) -> str:
    """What a kernel is for, by the names that cuBLAS, cuDNN, FlashAttention and inductor give."""
    name = kernel.lower()
    if any(sign in name for sign in ("flash", "fmha", "sdpa", "attention")):
        return "attention"
    if any(sign in name for sign in ("gemm", "cutlass", "nvjet", "cublas")):
        return "products"
    return "copies" if "memcpy" in name or "memset" in name else "the rest"


def _sampled(bench: Bench, model: FlowModel, spec: ExperimentSpec, what: str, size: int) -> None:
    if what == "float8" and (reason := float8.lacking(bench.device)) is not None:
        bench.add("sampling", f"{what}, batch {size}", f"not here: {reason}")
        return
    own, repeats = _with(spec, what), 3
    if size > _LARGE:
        own = own.model_copy(update={"sampling": own.sampling.model_copy(update={"steps": FEW_STEPS})})
        repeats = 1
    began = time.monotonic()
    measured = speed.sampling_speed(model, own, CLASSES, size, bench.peak, repeats)
    preparing = time.monotonic() - began - (repeats + 1) * size * measured.seconds
    long = costs(spec_of(bench, f"sampling.steps={STEPS}"))
    scale = [wanted.nfe / spent.nfe for wanted, spent in zip(long.stages, measured.stages, strict=True)]
    seconds = sum(factor * spent.seconds for factor, spent in zip(scale, measured.stages, strict=True))
    shares = " ".join(f"{spent.share:.0%}" for spent in measured.stages)
    told = f"{seconds:.3f} s an image; of the peak by stage {shares}"
    told += f"; {max(preparing, 0):.1f} s to compile" if own.sampling.compile is True else ""
    bench.add("sampling", f"{what}, batch {size}", told, seconds)


def training(bench: Bench) -> None:
    size = 16 if not bench.tiny else 4
    what = f"compiled, batch {2 * size}"
    bench.attempt("training", what, 20, partial(_trained, bench, what, 2 * size, "auto", True))
    if bench.brief:
        return
    usable = [n for n, why in attention.available_kernels(bench.device.type, torch.bfloat16).items() if why is None]
    for name in usable:
        for compiled in (True, False):
            what = f"{'compiled' if compiled else 'eager'}, kernel {name}, batch {size}"
            bench.attempt("training", what, 30, partial(_trained, bench, what, size, name, compiled))
    what = f"compiled, batch {4 * size}, checkpointing"
    bench.attempt("training", what, 30, partial(_trained, bench, what, 4 * size, "auto", True, True))


def _trained(
    bench: Bench, what: str, size: int, kernel: str, compiled: bool = False, checkpointing: bool = False
) -> None:
    spec = spec_of(
        bench, f"training.batch_size={size}", f"training.activation_checkpointing={str(checkpointing).lower()}"
    )
    began = time.monotonic()
    model = make(bench, spec)
    if compiled:
        compiling.compile_parts(model.backbone)
    if bench.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with chosen_kernel(kernel):
        measured = speed.training_speed(model, spec, CLASSES, bench.peak, repeats=5)
    shown = f"{measured.images_per_second:.1f} images/s, {measured.share:.1%} of the peak"
    if bench.device.type == "cuda":
        needed = device_memory(costs(spec), Devices("ddp", 1))
        expected = needed.peak - needed.average  # no average is kept here
        shown += f", {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB (plan {expected / 2**30:.1f})"
    bench.add("training", what, f"{shown}, {time.monotonic() - began:.0f} s in all", measured.share)
    if compiled and kernel == "auto" and not checkpointing and not bench.brief:
        profiled(bench, "training", lambda: speed.training_speed(model, spec, CLASSES, bench.peak, repeats=1))


WATCHED_STEPS = 6


def waiting(bench: Bench) -> None:
    """What a step of the training loop waits for on the device, where it writes no line."""
    for optimizer in ("adamw", "muon"):
        bench.attempt("waiting", f"in a step of training by {optimizer}", 30, partial(_waited, bench, optimizer))


def _waited(bench: Bench, optimizer: str) -> None:
    spec = reading.validate(
        ExperimentSpec,
        reading.override(
            reading.read_document(ROOT / "specs/digits.yaml"),
            [
                f"training.steps={WATCHED_STEPS}",
                "training.log_every=1000",
                "training.sample_every=null",
                f"training.optimizer={optimizer}",
            ],
        ),
    )
    step, found = Trainer.step, list[str]()

    def watched(trainer: Trainer, *given: Any) -> None:
        if bench.device.type != "cuda" or trainer.state.step < 2:
            step(trainer, *given)
            return
        torch.cuda.set_sync_debug_mode("warn")
        try:
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                step(trainer, *given)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        found.extend(f"{Path(one.filename).name}:{one.lineno}" for one in said if "synchroniz" in str(one.message))

    Trainer.step = watched  # type: ignore[method-assign]
    try:
        with tempfile.TemporaryDirectory() as place, StopSignals() as signals:
            train(spec, Path(place) / "run", Parallel(bench.device), signals)
    finally:
        Trainer.step = step  # type: ignore[method-assign]
    places = ", ".join(sorted(set(found)))
    shown = f"{len(found) / (WATCHED_STEPS - 2):g} a step {places}" if bench.device.type == "cuda" else "needs a GPU"
    bench.add("waiting", f"synchronisations in a step of training by {optimizer}", shown)


FIRST_STEP = """
import time, torch, sys
sys.path.insert(0, {root!r})
from benchmarks import gpu
from pixelflow.core import compiling
bench = gpu.Bench(torch.device({device!r}), {tiny}, False, time.monotonic() + 600, None)
spec = gpu.spec_of(bench, "training.batch_size=4")
model = gpu.make(bench, spec)
began = time.monotonic()
compiling.compile_parts(model.backbone)
gpu.speed.training_speed(model, spec, gpu.CLASSES, 1.0, repeats=1)
print(time.monotonic() - began)
"""
"""A compiled training's first two steps, in a process of its own, as a new run has them."""


def starting(bench: Bench) -> None:
    """Seconds to the first step of a compiled training, without and with what a process before has kept on disk."""
    with tempfile.TemporaryDirectory() as cache:
        for name in ("cold", "warm"):
            bench.attempt("starting", f"{name} cache", 90, partial(_started, bench, name, cache))


def _started(bench: Bench, name: str, cache: str) -> None:
    code = FIRST_STEP.format(root=str(ROOT), device=bench.device.type, tiny=bench.tiny)
    environment = {**os.environ, "PIXELFLOW_CACHE": cache, "TORCHINDUCTOR_CACHE_DIR": f"{cache}/compiled"}
    command = [sys.executable, "-c", code]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    if ran.returncode:
        raise RuntimeError(ran.stderr[-300:])
    seconds = float(ran.stdout.split()[-1])
    bench.add("starting", f"two steps of a compiled training, {name} cache", f"{seconds:.1f} s", seconds)


WRAPS = ("none", "ddp", "fsdp")


def engines(bench: Bench) -> None:
    """Training by DDP and FSDP2 in one process over NCCL, beside training without a wrap: losses, speed, resume."""
    with tempfile.TemporaryDirectory() as place:
        plain: dict[str, Any] = {}
        for wrap in WRAPS:
            bench.attempt("engines", wrap, 100, partial(_engine, bench, wrap, place, plain))


def _engine(bench: Bench, wrap: str, place: str, plain: dict[str, Any]) -> None:
    """Rows of one wrap; what training without one gave is kept for those that follow."""
    command = [sys.executable, str(ROOT / "benchmarks/on_gpu/engines.py"), wrap, place]
    command += ["--tiny"] if bench.tiny else []
    ran = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    if ran.returncode:
        raise RuntimeError(ran.stderr[-300:])
    found = json.loads(ran.stdout.splitlines()[-1])
    shown = f"{found['rate']:.1f} images/s"
    if wrap == "none":
        plain.update(found)
    elif plain:
        shown += f", {found['rate'] / plain['rate']:.2f} of none"
        for what, own in (("losses beside none", "losses"), ("goes on from a checkpoint of none", "carried_on")):
            apart = relative(torch.tensor(found[own]), torch.tensor(plain["losses"]))
            bench.add("engines", f"{wrap}, {what}", f"{apart:.1e} apart", apart)
    if found["peak"]:
        shown += f", {found['peak'] / 2**30:.1f} GiB"
    shown += f"; first steps {found['until_warm']:.0f} s"
    bench.add("engines", f"{wrap}, bf16, compiled", shown, found["rate"])
    apart = relative(torch.tensor(found["resumed"]), torch.tensor(found["losses"]))
    bench.add("engines", f"{wrap}, goes on from its checkpoint", f"{apart:.1e} apart", apart)


def choosing(bench: Bench) -> None:
    """The attention kernel that would be taken, by the measurement that `doctor` shows."""
    bench.attempt("choosing", "attention of packed batches", 20, partial(_chosen, bench))


def _chosen(bench: Bench) -> None:
    spent = attention.kernel_speeds(bench.device.type, torch.bfloat16)
    for name, milliseconds in sorted(spent.items(), key=lambda own: own[1]):
        bench.add("choosing", f"kernel {name}, batch of four resolutions", f"{milliseconds:.2f} ms", milliseconds)
    bench.add("choosing", "taken", attention.choose_kernel(bench.device.type, torch.bfloat16))


def loading(bench: Bench) -> None:
    """Images a second that reach the training process, from JPEG files."""
    bench.attempt("loading", "JPEG", 30, partial(_loaded, bench))


def _loaded(bench: Bench) -> None:
    from PIL import Image

    count, batch = (2048, 64) if not bench.tiny else (16, 4)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "class"
        folder.mkdir()
        smooth = torch.nn.functional.interpolate(torch.rand(16, 3, 24, 32), size=(375, 500), mode="bicubic")
        for index in range(count):
            pixels = (smooth[index % 16].clamp(0, 1) * 255).byte().permute(1, 2, 0).numpy()
            Image.fromarray(pixels).save(folder / f"{index:05}.jpg", quality=90)
        spec = spec_of(bench, f"data.root={place}")
        dataset = build_dataset(spec)
        for workers in (0, 8, 16) if not bench.tiny else (0,):
            stream = batches(dataset, batch_size=batch, seed=0, workers=workers, first_step=0, bad_images=0)
            next(stream)
            began, read = time.monotonic(), 0
            while read == 0 or (time.monotonic() - began < 4 and not bench.tiny):
                read += sum(len(group.members) for group in next(stream).groups)
            rate = read / (time.monotonic() - began)
            bench.add(
                "loading",
                f"500x375 JPEG to {spec.image.size[0]} pixels, {workers} workers",
                f"{rate:.0f} images/s",
                rate,
            )
            stream.close()


def pictures(bench: Bench) -> None:
    """A class model of CIFAR-10 by what is left of the time."""
    if bench.cifar10 is None and not bench.tiny:
        bench.add("pictures", "class model", "left out: no --cifar10")
        return
    bench.attempt("pictures", "class model", 150, partial(_pictured, bench))


def _pictured(bench: Bench) -> None:
    """Rows of the training and of each metric; the grid, the figures and small weights stay in ``--out``."""
    with tempfile.TemporaryDirectory() as place:
        out = bench.out or Path(place)
        command = [sys.executable, str(ROOT / "benchmarks/on_gpu/class_model.py"), place, "--out", str(out)]
        command += [
            "--seconds",
            str(bench.left - 20),
            *(["--tiny"] if bench.tiny else ["--cifar10", str(bench.cifar10)]),
        ]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=max(bench.left, 300), check=False)
    if ran.returncode:
        raise RuntimeError(ran.stderr[-300:])
    for what, figure in json.loads(ran.stdout.splitlines()[-1]).items():
        bench.add("pictures", what, f"{figure:.4g}", figure)


PARTS: dict[str, Callable[[Bench], None]] = {
    "machine": machine,
    "training": training,
    "sampling": sampling,
    "starting": starting,
    "parity": parity,
    "waiting": waiting,
    "choosing": choosing,
    "loading": loading,
    "engines": engines,
    "attention": kernels,
    "pictures": pictures,
}

if __name__ == "__main__":
    main()
