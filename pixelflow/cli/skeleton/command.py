"""A command that counts a model's parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pixelflow.system.terminal import tell


def parts(run: Annotated[Path, typer.Argument(help="A run's folder.")]) -> None:
    """Count the parameters of a run's network and of each conditioner."""
    import pixelflow  # here, since it imports torch: --help stays instant

    model = pixelflow.load(run, device="cpu").model
    for one in (model.backbone, *model.conditioners):
        tell(f"{one.type_name():20}{sum(weight.numel() for weight in one.parameters()):14,}")
