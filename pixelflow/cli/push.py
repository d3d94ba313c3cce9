"""``pixelflow push``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pixelflow.cli.arguments import CheckpointStep, RunPath, Weights
from pixelflow.system.terminal import say, tell


def push(
    run: RunPath,
    repository: Annotated[str, typer.Argument(metavar="USER/NAME", help="Where on the Hugging Face Hub it goes.")],
    upload: Annotated[
        bool, typer.Option("--upload", "--yes", help="Upload it; without, the folder is written and nothing leaves.")
    ] = False,
    private: Annotated[bool, typer.Option("--private", help="For you alone, if the repository is made.")] = False,
    licence: Annotated[
        str | None, typer.Option("--license", metavar="NAME", help="Of the weights, for the card, e.g. mit.")
    ] = None,
    step: CheckpointStep = None,
    weights: Weights = "ema",
    out: Annotated[Path | None, typer.Option(help="Folder to write; by default one inside the run.")] = None,
) -> None:
    """Give a run to others: weights, spec, a card with recipe, data and evaluations, and code for diffusers.

    Without --upload the folder is only written, to be looked at; a folder that is there, of the same weights, goes up
    as it is, so that the card can be edited before.
    """
    from pixelflow.hub.address import read_address
    from pixelflow.hub.folder import check_is_of, foreign_parts, write_folder
    from pixelflow.hub.uploading import upload as uploaded
    from pixelflow.runs.runfolder import RunFolder
    from pixelflow.system.files import check_writable

    read_address(f"hf://{repository}")
    opened = RunFolder(run)
    folder = out or opened.path / "hub" / repository.replace("/", "--")
    if upload and folder.is_dir():
        check_is_of(folder, opened, step, weights)
    else:
        check_writable(folder)
        foreign = foreign_parts(opened.read_spec(to_draw=True))
        if foreign:
            say(f"without code for diffusers: it draws with {', '.join(foreign)}, of plugins")
        done = write_folder(
            opened, folder, step=step, weights=weights, address=repository, licence=licence, with_code=not foreign
        )
        if done.grid is None:
            say("without a picture: pixelflow sample draws one that goes along")
        tell(f"{folder}: step {done.step}")
    if not upload:
        tell("nothing was uploaded; the same command with --upload does it")
        return
    tell(uploaded(folder, repository, private=private))
