"""The commands ``pixelflow export geneval``, ``dpg`` and ``t2i-compbench``, which differ in the benchmark alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
from pixelflow.core.kinds import resolved
from pixelflow.system.terminal import tell

if TYPE_CHECKING:
    from pixelflow.generation.exports.layout import ExportLayout


def exporting(name: str, reference: str) -> Callable[..., None]:
    """The command of one benchmark.

    Args:
        name: as people type it.
        reference: ``module:name`` of its `ExportLayout`.
    """

    def command(
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

        On several GPUs:  torchrun --nproc-per-node 8 -m pixelflow -- export NAME RUN --prompts FILE
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
        layout: ExportLayout = resolved(reference)()
        choice = None if rewriter is None else chosen(rewriter)
        tasks = layout.read(prompts)
        with joined(device) as parallel:
            own = device if parallel.size == 1 else str(parallel.device)
            opened = Run.open(run, step=step, weights=weights, device=own)
            opened.check_reads([CAPTION.name])
            sampling = changed_sampling(opened.spec, changes, overrides or ())
            built = choice.build(device=opened.model.device) if choice and parallel.is_first else None
            images = Export(opened, sampling, layout, tasks, built, seed)
            folder = out or run / "exports" / f"{name}-{images.digest}"
            if parallel.is_first:
                check_writable(folder)
            with bars(silent=not parallel.is_first) as shown:
                for done in images.draw_into(folder, parallel):
                    shown("prompts", done, len(tasks))
            if parallel.is_first:
                tell(f"{len(tasks)} prompts, {layout.images} images each: {folder / layout.folder}")

    assert command.__doc__
    command.__doc__ = command.__doc__.replace("NAME", name)
    return command
