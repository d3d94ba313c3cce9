"""``pixelflow sample``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pixelflow.cli import completing
from pixelflow.cli.arguments import (
    LAST_SEED,
    MOST_IMAGES,
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
from pixelflow.cli.previews import show
from pixelflow.cli.progress import bars
from pixelflow.system.terminal import say, tell

if TYPE_CHECKING:
    from pixelflow.generation.draw import Drawn
    from pixelflow.generation.editing import Edit
    from pixelflow.generation.gallery import Gallery
    from pixelflow.generation.orders import Order
    from pixelflow.generation.run import Run
    from pixelflow.generation.weaker import Weaker
    from pixelflow.system.parallel import Parallel

_DEFAULT_COUNT = 16


def sample(
    run: RunPath,
    overrides: SamplingOverrides = None,
    labels: Annotated[str | None, typer.Option(help="Classes by name or number, e.g. 0,1,2; by default all.")] = None,
    prompt: Annotated[list[str] | None, typer.Option(help="A caption; may be given several times.")] = None,
    prompts: Annotated[Path | None, typer.Option(metavar="FILE", help="More captions, one a line.")] = None,
    negative: Annotated[
        list[str] | None, typer.Option(help="What guidance leads away from; one for all, or one a caption.")
    ] = None,
    field: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="A value of another field that the run reads, such as lowres=small.png (or .npy); several take turns.",
        ),
    ] = None,
    rewriter: Rewriter = None,
    count: Annotated[
        int | None, typer.Option(min=1, max=MOST_IMAGES, help="Images; labels and captions repeat in order.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=LAST_SEED, help="Of the first image; the next has SEED + 1.")] = 0,
    size: Annotated[
        str | None, typer.Option(metavar="WIDTHxHEIGHT", help="Size of the images; by default the spec's.")
    ] = None,
    source: Annotated[
        list[Path] | None,
        typer.Option("--from", metavar="IMAGE", help="Make the images from this one; several take turns."),
    ] = None,
    stage: Annotated[
        int | None, typer.Option(min=0, help="Where the image enters the cascade, from 0, the coarsest.")
    ] = None,
    strength: Annotated[float, typer.Option(help="Share of that stage that is drawn anew, above 0, at most 1.")] = 1.0,
    mask: Annotated[
        Path | None, typer.Option(metavar="IMAGE", help="White where the image is drawn anew, black where it stays.")
    ] = None,
    steps: Steps = None,
    sampler: Sampler = None,
    guidance: Guidance = None,
    grid: Grid = None,
    settings: SamplingSettings = None,
    weak: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="A weaker run, for autoguidance.", autocompletion=completing.runs),
    ] = None,
    weights: Weights = "ema",
    step: CheckpointStep = None,
    repeat: Annotated[
        Path | None, typer.Option(help="Draw what this samples.json records; only --out and --device count then.")
    ] = None,
    columns: Annotated[
        int | None, typer.Option(min=1, max=100, help="Of the grid; by default one for each class or caption.")
    ] = None,
    npz: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write all images into one npz for evaluators; can be resumed.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write; by default RUN/samples/drawn, then drawn-2 and so on.")
    ] = None,
    device: Device = None,
) -> None:
    """Draw images from a run: numbered PNGs, a grid, a filmstrip of the stages, and a record that repeats them.

    Each drawing has a folder of its own, and nothing is replaced.

    With --npz FILE.npz only the PNGs (by default in a folder FILE beside it) and the npz are written, of any number
    of images within little memory; stopped and started again, it goes on where it was.

    On several GPUs:  torchrun --nproc-per-node 8 -m pixelflow -- sample RUN --count 50000 --npz FILE.npz
    """
    from pixelflow.core.fields import CAPTION, LABEL, read_fields
    from pixelflow.generation.ordering import Wish, ordered
    from pixelflow.generation.prompt_files import read_prompts
    from pixelflow.generation.run import Run
    from pixelflow.generation.settings import changed_sampling, read_size
    from pixelflow.generation.written import sampling_changes
    from pixelflow.system.distributed import joined

    def wished(opened: Run, weak_run: Run | None) -> Order:
        changes = sampling_changes(steps=steps, sampler=sampler, guidance=guidance, grid=grid, settings=settings)
        sampling = changed_sampling(opened.spec, changes, overrides or ())
        captions = [*(prompt or []), *(read_prompts(prompts) if prompts else [])]
        given = {LABEL.name: _names(labels, opened), CAPTION.name: captions, **read_fields(field or ())}
        wish = Wish(
            given={name: values for name, values in given.items() if values},
            negatives=negative or (),
            rewriter=rewriter,
            count=count,
            seed=seed,
            size=None if size is None else read_size(size),
            edit=_edit(source, stage, strength, mask, opened),
        )
        return ordered(opened, wish, sampling, weak_run, _DEFAULT_COUNT)

    with joined(device) as parallel:
        own = device if parallel.size == 1 else str(parallel.device)
        if repeat is not None:
            opened, weak_run, order = _recorded(repeat, run, own)
        else:
            opened = Run.open(run, step=step, weights=weights, device=own)
            weak_run = Run.open(weak, device=own) if weak else None
            order = parallel.of_first(lambda: wished(opened, weak_run))
        weaker = opened.weaker(weak_run, order.labels or ()) if weak_run else None
        if npz is not None:
            _export(opened, weaker, order, out or npz.with_suffix(""), npz, parallel)
        else:
            is_new = repeat is not None or columns is not None
            _draw(opened, weaker, order, out, columns, parallel, is_new=is_new)


def _recorded(record: Path, run: Path, device: str | None) -> tuple[Run, Run | None, Order]:
    """What a record holds, with its very weights opened."""
    from pixelflow.core.fields import LABEL
    from pixelflow.core.labels import check_recorded
    from pixelflow.generation.gallery import read_order
    from pixelflow.generation.run import Run
    from pixelflow.generation.settings import changed_sampling

    order = read_order(record)
    device = device or order.device
    opened = Run.reopen(order.source, path=run, device=device)
    weaker = Run.reopen(order.weak, device=device) if order.weak else None
    sampling = changed_sampling(opened.spec, order.sampling.model_dump(mode="json"), source=str(record))
    if LABEL.name in opened.reads:
        check_recorded(order.labels or (), len(opened.labels))
    return opened, weaker, order.model_copy(update={"sampling": sampling})


def _draw(
    run: Run,
    weak: Weaker | None,
    order: Order,
    out: Path | None,
    columns: int | None,
    parallel: Parallel,
    *,
    is_new: bool,
) -> None:
    """Carry the order out, write the gallery and say where it is; if it is there already, only say so.

    Args:
        parallel: processes that all draw; the first looks at the folder and writes.
        is_new: whether to draw in any case.
    """
    from pixelflow.generation.gallery import GRID, Gallery, Subject, holds, place_for
    from pixelflow.runs.environment import environment

    if not parallel.is_first:
        if (first := parallel.ask(None)) is not None:
            for _ in _drawn(run, weak, order, first, parallel):
                pass
        return
    carried_out = environment(run.classes, run.spec, order.sampling, order.rewriting)
    subject = Subject(order, carried_out, order.titles(run.classes), run.spec.image.channels)
    folder = out or place_for(Path(run.source.run) / "samples", subject, is_new=is_new)
    if not is_new and holds(folder, subject):
        tell(f"these images were drawn before, and are in {folder}")
        parallel.ask(None)
        return
    with Gallery(folder, subject) as gallery:
        _draw_into(gallery, run, weak, parallel)
        record = gallery.finish(columns)
    stages = " + ".join(f"{spent:g}" for spent in record.nfe)
    by_stage = f" ({stages} by stage)" if len(record.nfe) > 1 else ""
    tell(f"{_images(record.images)} in {record.seconds:.1f} s, {sum(record.nfe):g} NFE each{by_stage}: {folder}")
    show(folder / GRID)


def _drawn(run: Run, weak: Weaker | None, order: Order, first: int, parallel: Parallel) -> Iterator[Drawn]:
    """The images of an order from the one of number `first` on, in batches; of several processes in the first."""
    from pixelflow.generation.draw import draw

    return draw(
        run.model,
        run.spec,
        order.values,
        order.seeds,
        sampling=order.sampling,
        keep_stages=True,
        weak=weak,
        null_values=order.null_values,
        size=order.size,
        edits=order.edits(),
        first=first,
        parallel=parallel,
    )


def _draw_into(gallery: Gallery, run: Run, weak: Weaker | None, parallel: Parallel) -> None:
    """Draw what is not in the gallery yet."""
    order = gallery.subject.order
    count = len(order.seeds)
    drawn = _drawn(run, weak, order, parallel.ask(gallery.images), parallel)
    if gallery.images:
        tell(f"{gallery.images} of {_images(count)} were drawn before")
    with bars() as shown, _kept(lambda: gallery.images, count):
        shown("drawing", gallery.images, count)
        for part in drawn:
            gallery.add(part)
            shown("drawing", gallery.images, count)


@contextmanager
def _kept(images: Callable[[], int], count: int) -> Iterator[None]:
    """Say after Ctrl-C what of it is kept."""
    try:
        yield
    except KeyboardInterrupt:
        if images():
            say(f"{images()} of {_images(count)} are drawn and kept; the same command goes on")
        raise


def _images(count: int) -> str:
    return f"{count} image{'s' * (count > 1)}"


def _export(run: Run, weak: Weaker | None, order: Order, folder: Path, npz: Path, parallel: Parallel) -> None:
    """Draw into a folder what is not there yet, then write all of it into one file."""
    from pixelflow.generation.npz_export import NpzExport
    from pixelflow.system.errors import UsageError

    if npz.suffix != ".npz":
        raise UsageError(f"--npz {npz}: the file's name must end in .npz")
    export = NpzExport(run.model, run.spec, order, folder, weak, run.classes, parallel)
    if not parallel.is_first:
        for _ in export.draw():
            pass
        return
    export.check(npz)
    count = len(order.seeds)
    done = 0
    with bars() as shown, _kept(lambda: done, count):
        for done in export.draw():
            shown("drawing", done, count)
        for done in export.write(npz):
            shown("writing", done, count)
    tell(f"{_images(count)}: {npz}, and as PNGs in {folder}")


def _edit(images: list[Path] | None, stage: int | None, strength: float, mask: Path | None, run: Run) -> Edit | None:
    """What images are to be made from; raises UsageError for settings of an edit without an image."""
    from pixelflow.data.framing import ground_of
    from pixelflow.generation.editing import Edit
    from pixelflow.system.arrays import read_picture
    from pixelflow.system.errors import UsageError

    if not images:
        if stage is not None or strength != 1 or mask is not None:
            raise UsageError("--stage, --strength and --mask tell how an image is edited; give it by --from")
        return None
    masks = None if mask is None else (read_picture(mask, 1)[0] + 1) / 2
    channels, ground = run.spec.image.channels, ground_of(run.spec.data)
    return Edit([read_picture(path, channels, ground) for path in images], stage, strength, masks)


def _names(labels: str | None, run: Run) -> list[str] | None:
    """Labels between commas; a class whose name holds a comma can only be given alone."""
    if labels is None:
        return None
    return [labels] if labels in run.classes else [name.strip() for name in labels.split(",")]
