"""``pixelflow import``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pixelflow.system.terminal import tell


def import_(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SRC",
            help="hf://user/name, zoo:NAME, a folder that push or export diffusers wrote, or export-weights' file.",
        ),
    ],
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run folder to write.")],
) -> None:
    """Make a run of weights that pixelflow gave out: on the Hugging Face Hub, in a package, a folder or one file.

    hf://user/name@REVISION names a branch, a tag or a commit.
    """
    from pixelflow.hub import ADDRESSES
    from pixelflow.hub.address import found
    from pixelflow.hub.folder import import_folder
    from pixelflow.system.files import at_home, check_writable

    check_writable(run, "RUN")
    place = found(source).file if source.startswith(ADDRESSES) else at_home(Path(source))
    done = import_folder(place, run, source)
    count = sum(tensor.numel() for tensor in done.tensors.values())
    tell(f"{run}: {done.weights} weights of step {done.step}, {count:,} parameters")
