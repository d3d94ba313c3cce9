"""A command that counts a model's parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pixelflow.system.terminal import tell


def parts(run: Annotated[Path, typer.Argument(help="A run's folder.")]) -> None:
    """Count the parameters of a run's network and of its conditioners."""
    import pixelflow  # here, since it imports torch: --help stays instant

    for name, part in pixelflow.load(run, device="cpu").model.named_children():
        tell(f"{name:14}{sum(weight.numel() for weight in part.parameters()):14,}")
