"""``pixelflow export``."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pixelflow.cli import completing
from pixelflow.cli.arguments import (
    LAST_SEED,
    CheckpointStep,
    Device,
    Grid,
    Guidance,
    Rewriter,
    RunPath,
    Sampler,
    SamplingOverrides,
    SamplingSettings,
    Steps,
    Weights,
)
from pixelflow.cli.progress import bars
from pixelflow.system.errors import UsageError
from pixelflow.system.terminal import tell

if TYPE_CHECKING:
    from pixelflow.generation.exports.layout import ExportLayout


def export(
    benchmark: Annotated[
        str,
        typer.Argument(
            metavar="BENCHMARK",
            help="geneval, dpg or t2i-compbench.",
            autocompletion=completing.choices(("geneval", "dpg", "t2i-compbench")),
        ),
    ],
    run: RunPath,
    prompts: Annotated[
        Path, typer.Option(metavar="PATH", help="The benchmark's own prompts: a file, or for dpg a folder.")
    ],
    overrides: SamplingOverrides = None,
    steps: Steps = None,
    sampler: Sampler = None,
    guidance: Guidance = None,
    grid: Grid = None,
    settings: SamplingSettings = None,
    rewriter: Rewriter = None,
    seed: Annotated[int, typer.Option(min=0, max=LAST_SEED, help="Another seed draws other images.")] = 0,
    weights: Weights = "ema",
    step: CheckpointStep = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write; by default one inside the run.")] = None,
    device: Device = None,
) -> None:
    """Draw a text-to-image benchmark's prompts, in the layout that its evaluator reads.

    Stopped and started again, it goes on where it was. Every run draws a prompt's images from the same seeds.

    On several GPUs:  torchrun --nproc-per-node 8 -m pixelflow -- export geneval RUN --prompts FILE
    """
    from pixelflow.core.fields import CAPTION
    from pixelflow.generation.exports.drawing import Export
    from pixelflow.generation.rewriting import chosen
    from pixelflow.generation.run import Run
    from pixelflow.generation.settings import changed_sampling
    from pixelflow.generation.written import sampling_changes
    from pixelflow.system.distributed import joined
    from pixelflow.system.files import check_writable

    changes = sampling_changes(steps=steps, sampler=sampler, guidance=guidance, grid=grid, settings=settings)
    layout = _layout(benchmark)
    choice = None if rewriter is None else chosen(rewriter)
    tasks = layout.read(prompts)
    with joined(device) as parallel:
        own = device if parallel.size == 1 else str(parallel.device)
        opened = Run.open(run, step=step, weights=weights, device=own)
        opened.check_reads([CAPTION.name])
        sampling = changed_sampling(opened.spec, changes, overrides or ())
        built = choice.build(device=opened.model.device) if choice and parallel.is_first else None
        images = Export(opened, sampling, layout, tasks, built, seed)
        folder = out or run / "exports" / f"{benchmark}-{images.digest}"
        if parallel.is_first:
            check_writable(folder)
        with bars(silent=not parallel.is_first) as shown:
            for done in images.draw_into(folder, parallel):
                shown("prompts", done, len(tasks))
        if parallel.is_first:
            tell(f"{len(tasks)} prompts, {layout.images} images each: {folder / layout.folder}")


def _layout(name: str) -> ExportLayout:
    """The layout of a benchmark; raises UsageError on an unknown one."""
    from pixelflow.generation.exports.dpg import DPGBench
    from pixelflow.generation.exports.geneval import GenEval
    from pixelflow.generation.exports.t2i_compbench import T2ICompBench

    layouts: dict[str, ExportLayout] = {"geneval": GenEval(), "dpg": DPGBench(), "t2i-compbench": T2ICompBench()}
    if name not in layouts:
        near = difflib.get_close_matches(name, layouts, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise UsageError(f"no benchmark is called {name!r}{hint} (there are: {', '.join(layouts)})")
    return layouts[name]
