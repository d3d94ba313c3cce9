"""``pixelflow train-extractor``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pixelflow.cli.arguments import Device, Overrides, SpecFile, read_spec
from pixelflow.cli.progress import bars
from pixelflow.system.terminal import say, tell


def train_extractor(
    spec: SpecFile,
    overrides: Overrides = None,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where to write it.")] = Path("classifier.safetensors"),
    steps: Annotated[int | None, typer.Option(min=1, help="Optimizer steps; by default 2500.")] = None,
    device: Device = None,
) -> None:
    """Train a small classifier on a spec's labelled data: features for evaluations where no weights are at hand.

    It sees up to 50,000 images; its accuracy is had on a tenth of each class, which it is not trained on.
    """
    from pixelflow.metrics.classifier import save
    from pixelflow.system.device import choose_device
    from pixelflow.system.files import check_free
    from pixelflow.training.classifier import ClassifierTraining, train_classifier

    check_free(out)
    settings = ClassifierTraining() if steps is None else ClassifierTraining(steps=steps)
    with bars() as progress:
        network, about = train_classifier(read_spec(spec, overrides), settings, choose_device(device), progress, say)
    sha256 = save(out, network, about)
    tell(f"right on {about.accuracy:.1%} of the real images that it was not trained on")
    tell(f"written to {out} (SHA-256 {sha256})")
    tell(f"use it: evaluation.metrics=[{{type: frechet, extractor: {{type: classifier, weights: {out}}}}}]")
