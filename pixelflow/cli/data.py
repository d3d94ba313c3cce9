"""``pixelflow data``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pixelflow.cli.arguments import Overrides, SpecFile, read_spec
from pixelflow.system.terminal import tell


def data(
    spec: SpecFile,
    overrides: Overrides = None,
    count: Annotated[int, typer.Option(min=1, max=1000, help="Pictures that are shown.")] = 36,
    look: Annotated[int, typer.Option(min=1, metavar="N", help="Pictures that are read, drawn at random.")] = 1000,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Picture; by default NAME-data.png here, then -2 and so on.")
    ] = None,
) -> None:
    """Show what training is given of a spec's data: a grid of pictures as they are cut, with captions or classes.

    Says how many pictures there are, of which sizes, how long captions are, what cannot be read and what is left out.
    Nothing is replaced.
    """
    from pixelflow.core.assembly import build_dataset
    from pixelflow.data.surveys import told
    from pixelflow.generation.pictures import write_png
    from pixelflow.system.errors import DataError
    from pixelflow.system.files import check_free, free_name
    from pixelflow.training.looking import look as look_at

    read = read_spec(spec, overrides)
    if out is not None:
        check_free(out)
    target = out or free_name(Path(f"{read.name}-data.png"))
    dataset = build_dataset(read)
    if len(dataset) == 0:
        raise DataError("the data set is empty: there is nothing to show")
    tell(told(dataset, looked_at=look))
    seen = look_at(read, dataset, max(look, count), count)
    tell(*seen.lines())
    write_png(target, seen.picture())
    height, width = read.image.size
    cut = f"cut to {height} x {width}" if read.image.max_aspect is None else "cut to sizes of their shapes"
    tell(f"{len(seen.images)} pictures, {cut} as in the first epoch (--count shows more): {target}")
