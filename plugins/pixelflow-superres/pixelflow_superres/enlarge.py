"""``pixelflow superres-enlarge``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pixelflow.system.errors import CannotWriteError


def enlarge(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run that draws from lowres.")],
    picture: Annotated[Path, typer.Argument(metavar="PICTURE", help="The small picture.")],
    out: Annotated[Path, typer.Option(help="The picture to write (PNG).")] = Path("enlarged.png"),
    seed: Annotated[int, typer.Option(help="Fixes the noise.")] = 0,
) -> None:
    """Enlarge one picture by a run that was trained on small copies of its images."""
    import pixelflow
    from pixelflow.core.fields import field_of
    from pixelflow.generation.pictures import write_png
    from pixelflow.system.terminal import tell

    if out.exists():
        raise CannotWriteError(f"{out}: is there already; give another --out")
    small = field_of("lowres").read(str(picture))
    (large,) = pixelflow.load(run).images(fields={"lowres": [small]}, seed=seed)
    write_png(out, large)
    tell(f"{out}: {large.width}x{large.height}")
