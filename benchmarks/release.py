"""Sampling beside the authors' release and beside a plain loop: python benchmarks/release.py [--release FOLDER]

FOLDER is a clone of github.com/ShoufaChen/PixelFlow, whose code needs ``diffusers==0.32.2``; nothing of it is part of
this repository. As its package has the name of ours, it runs in a process of its own, which draws when it is told to.
Without FOLDER, ours is set beside the plain loop alone: our network asked as the release asks its own, for both
branches at every stage.

All draw the same images: weights, noise, classes, steps, grid, guidance and precision are equal, on one thread, by
turns. A figure is the median ratio of CPU seconds (user time) of neighbouring turns, so that other work on the machine
hardly counts. The release's own noise, drawn block by block in Python, is left out of its time and told beside it.

With ``--run RUN``, a trained run that the release could have, also at equal error: what each spends for images whose
root mean square difference to a fine reference is at most ``--error``. Ours is what `pixelflow tune` finds.
"""

from __future__ import annotations

import argparse
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parent.parent
SCALE = 2.4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--release", type=Path, help="the authors' folder")
    parser.add_argument(
        "--steps", type=int, default=3, help="Euler steps of each stage; the ratio hardly depends on them"
    )
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--width", default="12x6x64", help="depth x heads x channels of a head")
    parser.add_argument("--precision", default="float32,bfloat16")
    parser.add_argument("--compiled", action="store_true", help="also ours with compiled blocks")
    parser.add_argument("--run", type=Path, help="a trained run, for the comparison at equal error")
    parser.add_argument("--error", type=float, default=0.02)
    parser.add_argument("--images", type=int, default=16, help="that the error is measured on")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve is not None:
        serve(given.serve)
        return
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        at_equal_steps(given, Path(place))
        if given.run is not None:
            at_equal_error(given)


# ---- the release, in a process of its own


def serve(folder: Path) -> None:
    """Load the release's model from a published folder, and draw whatever the parent asks for.

    Nothing of this repository is imported here: `pixelflow` is the authors' package.
    """
    import torch
    import yaml
    from pixelflow.model import PixelFlowModel
    from pixelflow.scheduling_pixelflow import PixelFlowScheduler

    from pixelflow import pipeline_pixelflow

    torch.set_num_threads(1)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # the release prints
    config = yaml.safe_load((folder / "config.yaml").read_text())
    model = PixelFlowModel(**config["model"]["params"])
    model.load_state_dict(torch.load(folder / "model.pt", weights_only=True))
    pipeline = pipeline_pixelflow.PixelFlowPipeline(PixelFlowScheduler(**config["scheduler"]), model.eval())
    while True:
        try:
            asked = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        pickle.dump(drawn(pipeline, pipeline_pixelflow, *asked), answers)
        answers.flush()


def drawn(
    pipeline: Any, module: Any, labels: list[int], noise: list[Any], steps: tuple[int, ...], precision: str
) -> tuple[float, float, Any]:
    """User seconds of the release's pipeline on given noise, those of drawing its own, and the images (b c h w)."""
    import torch

    tensors, side, own_noise = iter([torch.from_numpy(one) for one in noise]), noise[-1].shape[-1], type(pipeline)
    step, last = pipeline.scheduler.step, []
    module.randn_tensor = pipeline.sample_block_noise = lambda *given, **named: next(tensors)

    def watched(model_output: Any, sample: Any) -> Any:
        last[:] = [step(model_output=model_output, sample=sample)]
        return last[0]

    pipeline.scheduler.step = watched
    began = user_seconds()
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"), torch.no_grad():
        pipeline(labels, side, side, num_inference_steps=list(steps), guidance_scale=SCALE, device="cpu")
    spent, pipeline.scheduler.step = user_seconds() - began, step
    began = user_seconds()
    for one in noise[1:]:
        own_noise.sample_block_noise(pipeline, *one.shape)
    return spent, user_seconds() - began, last[0].float().numpy()


@dataclass
class Release:
    """The release's process, as a function that draws."""

    process: subprocess.Popen[bytes]
    noise_seconds: float = 0.0

    @staticmethod
    def start(code: Path, published: Path) -> Release:
        path = os.pathsep.join([str(code.resolve()), os.environ.get("RELEASE_PATH", "")])
        environment = os.environ | {"PYTHONPATH": path}
        command = [sys.executable, str(Path(__file__).resolve()), "--serve", str(published)]
        started = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, cwd=code.resolve()
        )
        return Release(started)

    def __call__(self, labels: Sequence[int], noise: Sequence[Any], steps: Sequence[int], precision: str) -> Any:
        """(user seconds, images (b c h w))"""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        asked = (list(labels), [one.numpy() for one in noise], tuple(steps), precision)
        pickle.dump(asked, self.process.stdin)
        self.process.stdin.flush()
        try:
            spent, self.noise_seconds, images = pickle.load(self.process.stdout)
        except EOFError:
            sys.exit("the release ended; what it said is above. Its code needs: pip install diffusers==0.32.2")
        return spent, images

    def end(self) -> None:
        with suppress(OSError):
            assert self.process.stdin is not None
            self.process.stdin.close()
        self.process.wait()


def user_seconds() -> float:
    """CPU time of this process in its own code: page faults and the like, which others cause too, do not count."""
    return os.times().user


# ---- ours


def spec_of(given: argparse.Namespace, precision: str, compiled: bool = False) -> Any:
    from pixelflow.core import reading
    from pixelflow.core.document import Document
    from pixelflow.core.spec import ExperimentSpec

    depth, heads, channels = map(int, given.width.split("x"))
    fields = {
        "name": "beside-the-release",
        "image": {"size": given.size},
        "data": {"type": "image_folder", "root": str(ROOT)},
        "cascade": {"stages": 4, "patch": 4, "down": "bilinear", "up": "nearest"},
        "backbone": {"type": "dit", "depth": depth, "heads": heads, "head_dim": channels},
        "conditioners": [{"type": "class_label", "classes": 1000}],
        "sampling": {
            "sampler": "euler",
            "grid": "official",
            "steps": given.steps,
            "guidance": {"type": "stagewise", "scale": SCALE},
            "precision": precision,
            "compile": compiled,
        },
    }
    return reading.validate(ExperimentSpec, Document("the benchmark", fields))


def noise_of(model: Any, count: int, shape: tuple[int, int, int], seed: int = 0) -> list[Any]:
    """White noise, then the unit-scale renoising noise of each stage: what both draw with."""
    from pixelflow.core.sampling import SeededNoise

    source, cascade = SeededNoise(range(seed, seed + count), model.device), model.cascade
    sizes = [cascade.size(stage, *shape[1:]) for stage in cascade.stages]
    return [source.white(shape[0], *sizes[0]), *(source.renoising(cascade.up, shape[0], *size) for size in sizes[1:])]


def ours(model: Any, spec: Any, labels: Sequence[int], noise: Sequence[Any]) -> tuple[float, Any]:
    """(user seconds, images (b c h w)) as `pixelflow sample` draws them."""
    from pixelflow.core.sampling import GivenNoise
    from pixelflow.generation.draw import Request, draw_request
    from pixelflow.generation.prompts import Prompt

    request = Request(
        prompt=Prompt(len(labels), {"label": list(labels)}),
        shape=tuple(noise[-1].shape[1:]),
        patches=spec.patches,
        noise=lambda rows: GivenNoise([one[rows] for one in noise], model.device),
        null=Prompt(1),
    )
    began = user_seconds()
    (drawn,) = draw_request(model, request, spec.sampling)
    return user_seconds() - began, drawn.images


def plain(model: Any, spec: Any, labels: Sequence[int], noise: Sequence[Any]) -> tuple[float, Any]:
    """The same by a loop that asks our network as the release asks its own: both branches at every step, all anew."""
    import torch

    from pixelflow.core.condition import Condition
    from pixelflow.guidance.classifier_free import StagewiseGuidance

    cascade, steps = model.cascade, spec.sampling.steps_of(len(model.cascade.stages))
    grid, guidance = spec.sampling.grid.build(), spec.sampling.guidance.build()
    began = user_seconds()
    x = noise[0]
    with torch.no_grad():
        values = model.prepare({"label": list(labels)})
        for stage, count in zip(cascade.stages, steps, strict=True):
            x = cascade.renoise(x, stage, noise[stage.index]) if stage.index else x
            points = grid.points(count)
            for now, after in pairwise(points):
                half = spec.sampling.precision == "bfloat16"
                with torch.autocast("cpu", torch.bfloat16, enabled=half):
                    pair = Condition.batched([model.condition(model.null(len(labels))), model.condition(values)])
                    times = torch.full((2 * len(x),), now)
                    (both,) = model([torch.cat([x, x])], [stage], [times], pair)
                null, conditional = both.float().chunk(2)
                weight = guidance.weight(stage) if isinstance(guidance, StagewiseGuidance) else guidance.params.scale
                x = x + (after - now) * (null + weight * (conditional - null))
    return user_seconds() - began, x


def at_equal_steps(given: argparse.Namespace, place: Path) -> None:
    import torch

    from pixelflow.core.assembly import build_model
    from pixelflow.official.exchange import export_release
    from pixelflow.runs import checkpoint
    from pixelflow.runs.runfolder import RunFolder

    spec = spec_of(given, "float32")
    torch.manual_seed(0)
    model = build_model(spec).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(std=0.02)
            if "norm" in name:
                parameter.add_(1)
    labels = list(range(given.batch))
    noise = noise_of(model, given.batch, (3, given.size, given.size))
    release = None
    if given.release is not None:
        run = RunFolder.create(place / "run", spec, classes=())
        checkpoint.save(run.checkpoints, 0, {"ema": model.state_dict()}, {}, keep=1)
        export_release(run, place / "published")
        release = Release.start(given.release, place / "published")
    for precision in given.precision.split(","):
        contenders: dict[str, Callable[[], tuple[float, Any]]] = {}
        if release is not None:
            contenders["release"] = partial(release, labels, noise, spec.sampling.steps_of(4), precision)
        own = spec_of(given, precision)
        contenders["plain loop"] = partial(plain, model, own, labels, noise)
        contenders["ours"] = partial(ours, model, own, labels, noise)
        if given.compiled:
            compiled = spec_of(given, precision, compiled=True)
            contenders["ours, compiled"] = partial(ours, model, compiled, labels, noise)
        compare(precision, given, contenders, release)
    if release is not None:
        release.end()


def compare(
    what: str,
    given: argparse.Namespace,
    contenders: dict[str, Callable[[], tuple[float, Any]]],
    release: Release | None,
) -> None:
    """Draw by turns; print seconds, ratios over the first of them, and how far the images lie from its."""
    first = {name: call() for name, call in contenders.items()}
    rounds = [{name: call()[0] for name, call in contenders.items()} for _ in range(given.rounds)]
    base = next(iter(contenders))
    reference = tensor(first[base][1])
    for name in contenders:
        ratio = median(turn[name] / turn[base] for turn in rounds)
        apart = float((tensor(first[name][1]) - reference).norm() / reference.norm())
        print(
            f"{what}: {name:15} {median(turn[name] for turn in rounds) / given.batch:7.3f} s an image, "
            f"{ratio:5.2f} of the {base}'s; images {apart:.1e} apart; first call {first[name][0] / given.batch:.2f} s",
            flush=True,
        )
    if release is not None:
        spent = median(turn["release"] for turn in rounds)
        print(f"{what}: the release's own noise, left out, takes {release.noise_seconds / spent:.2f} more", flush=True)


def tensor(images: Any) -> Any:
    import torch

    return torch.as_tensor(images).double()


# ---- at equal error


def at_equal_error(given: argparse.Namespace) -> None:
    """CPU seconds and arithmetic of images within `--error` of a fine reference: the release's way, and ours."""
    from pixelflow.costs.planning import costs
    from pixelflow.costs.tuning import Reuse, SolverChoice, Tuner
    from pixelflow.generation.run import Run

    run = Run.open(given.run, device="cpu")
    tuner = Tuner(run, given.images, lambda text: print(text, file=sys.stderr, flush=True))
    best = tuner.best(given.error)
    stages = len(run.model.cascade.stages)
    for steps in (4, 6, 8, 12, 16, 20, 24, 32, 40, 48, 64, 96, 128, 192, 256):
        release = tuner.tried(SolverChoice("euler", ("official", None), Reuse(), (steps,) * stages))
        if release.error <= given.error:
            break
    macs = 2 * steps * costs(run.spec).evaluation_macs
    print(f"error {given.error:g}: the release's way takes {steps} Euler steps a stage, {2 * steps * stages} NFE")
    print(f"error {given.error:g}: ours is {best.choice}, {best.nfe:g} NFE, error {best.error:.4f}")
    print(f"error {given.error:g}: arithmetic {best.macs / macs:.3f} of the release's")
    model, count = run.model, given.batch
    noise = noise_of(model, count, (run.spec.image.channels, *run.spec.image.size))
    as_release = run.spec.model_copy(update={"sampling": release.sampling})
    as_ours = run.spec.model_copy(update={"sampling": best.sampling})
    labels = [index % len(run.labels) for index in range(count)]
    ratios = []
    for _ in range(given.rounds):
        theirs, own = (way(model, spec, labels, noise)[0] for way, spec in ((plain, as_release), (ours, as_ours)))
        ratios.append(own / theirs)
    print(f"error {given.error:g}: CPU seconds {median(ratios):.3f} of the release's way", flush=True)


if __name__ == "__main__":
    from pixelflow.system.errors import PixelflowError

    try:
        main()
    except PixelflowError as error:
        sys.exit(str(error))
