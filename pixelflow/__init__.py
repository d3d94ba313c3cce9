"""PixelFlow: image generation by flow matching in pixels, over a cascade of resolutions.

``pixelflow.load(run)`` opens a trained run. Importing this package imports neither torch nor any plugin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pixelflow.core.hookspecs import hookimpl
from pixelflow.core.version import __version__
from pixelflow.system.errors import StoppedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pixelflow.core.component import Component
    from pixelflow.core.spec import ExperimentSpec
    from pixelflow.generation.run import Run
    from pixelflow.runs.history import Step
    from pixelflow.runs.metric_result import MetricResult
    from pixelflow.training.loop import Callback

__all__ = ["StoppedError", "__version__", "evaluate", "hookimpl", "load", "read_spec", "register", "train"]


def load(run: str | Path, *, step: Step | None = None, weights: str = "ema", device: str | None = None) -> Run:
    """Open a run folder for sampling; see `pixelflow.generation.run.Run`.

    Args:
        run: the folder that ``pixelflow train`` wrote, or ``hf://user/name`` on the Hugging Face Hub, or ``zoo:NAME``
            of an installed package: it is fetched once and kept in the cache.
        step: the checkpoint's step, or ``"best"``: the one that was evaluated best while training; by default the
            newest complete one.
        weights: ``"ema"``, ``"raw"``, or the length of an average (``"0.075"``, with `training.power_ema`).
        device: a torch device; by default the first GPU, else the CPU.

    Raises:
        MissingInputError: there is no run or no checkpoint.
        DataError: every checkpoint is damaged, or does not fit the run's spec.
        MissingDependencyError: it is on the Hub, and huggingface_hub is not installed.
    """
    from pathlib import Path

    from pixelflow.generation.run import Run
    from pixelflow.hub import ADDRESSES

    path = Path(run).expanduser()
    if str(run).startswith(ADDRESSES):
        from pixelflow.hub.address import local_run
        from pixelflow.system.cache import cache_folder

        path = local_run(run, cache_folder("hub"))
    return Run.open(path, step=step, weights=weights, device=device)


def read_spec(path: str | Path, *overrides: str, name: str | None = None) -> ExperimentSpec:
    """The validated spec of a file, or one that comes with pixelflow by its name, such as ``"digits"``.

    Args:
        overrides: changes, such as ``"training.steps=100"``.
        name: of the run, in place of the spec's.

    Raises:
        MissingInputError: there is no such file, and no such spec.
        SpecError: a line for every problem.
    """
    from pathlib import Path

    from pixelflow.core.spec_files import read_spec

    return read_spec(Path(path).expanduser(), overrides, name)


def train(
    spec: ExperimentSpec, *, out: str | Path = "runs", device: str | None = None, callbacks: Sequence[Callback] = ()
) -> Run:
    """Train a spec in ``out/<its name>`` as ``pixelflow train`` does, or go on with the run there; returns it, opened.

    Args:
        callbacks: each is called as ``callback(step, state)`` after every step, with the trained ``state.model``, its
            average ``state.ema.model`` and more. What it raises ends the training, and the state is saved first.

    Raises:
        PixelflowError: see `pixelflow.training.session.train`.
    """
    from pathlib import Path

    from pixelflow.system.distributed import joined
    from pixelflow.system.stopping import StopSignals
    from pixelflow.training.session import train

    with StopSignals() as signals, joined(device) as parallel:
        finished = train(spec, Path(out).expanduser() / spec.name, parallel, signals, callbacks)
    return load(finished.path, device=device)


def evaluate(
    run: Run,
    *overrides: str,
    seed: int = 0,
    out: str | Path | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    **sampling: object,
) -> list[MetricResult]:
    """Draw images from a run and measure them as ``pixelflow eval`` does; a result for each metric.

    Stopped and called again, it goes on where it was.

    Args:
        overrides: changes of evaluation, sampling and data, such as ``"evaluation.metrics=[frechet]"``.
        seed: of the first image.
        out: a folder; by default one in the run's ``evaluations``.
        progress: called as ``progress(what, done, total)`` while images are drawn and features computed.
        sampling: ``steps``, ``sampler``, ``guidance`` and ``grid``, as `Run.sample` takes them.

    Returns:
        what the record, ``evaluation.json``, has of each metric: `metric`, `values`, `intervals`, `recipe` ...

    Raises:
        PixelflowError: a metric fails (the others are recorded), or a setting does not fit.
    """
    from pathlib import Path

    from pixelflow.evaluation import comparison, of_run

    folder = None if out is None else Path(out).expanduser()
    return of_run.evaluate(run, overrides, sampling, seed, folder, progress or comparison.silent)


def register(cls: type[Component]) -> type[Component]:
    """Let specs name a component of a script or a notebook's cell, as those of plugins; a decorator.

    A cell that runs again replaces it. Components that are handed over as objects are registered by that.

    Raises:
        TypeError: it is not a complete component.
        DuplicateNameError: another one has its name.
    """
    from pixelflow.core import plugins
    from pixelflow.core.registry import registry

    plugins.load()
    registry.hand_over(cls)
    return cls
