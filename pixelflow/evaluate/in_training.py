"""Evaluating a model while it is trained."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from pixelflow.core.files import writing
from pixelflow.core.interfaces import Dataset
from pixelflow.core.model import FlowModel
from pixelflow.core.spec import ExperimentSpec
from pixelflow.evaluate.generated import Generation, captions_for
from pixelflow.evaluate.inputs import reference_for
from pixelflow.evaluate.measurement import Measurement
from pixelflow.generation.draw import evaluating
from pixelflow.generation.orders import Source
from pixelflow.run import Run


def evaluate_model(
    model: FlowModel, spec: ExperimentSpec, data: Dataset, folder: Path, *, step: int
) -> list[dict[str, Any]]:
    """Draw images by the spec's sampling block and measure them by its evaluation block.

    Args:
        model: with the averaged weights; left as it was.
        spec: resolved.
        data: of the spec, without augmentation; see `plain_dataset`.
        folder: emptied first; of all that is written there only ``evaluation.json`` is left.

    Returns:
        What `Measurement.measure` gives of each metric; the first of its ``values`` is the main one.

    Raises:
        DataError, NonFiniteError, CannotWriteError: the images cannot be measured, drawn or written.
    """
    with writing(folder):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    with evaluating(model):
        source = Source(run=spec.name, step=step, weights="ema", sha256="")
        run = Run(spec, model, data.classes, source)
        count = spec.evaluation.images
        generation = Generation(run, spec.sampling, count, 0, captions_for(run, count, data))
        for _ in generation.draw_into(folder / "images"):
            pass
        reference = reference_for(spec, data)
        measurement = Measurement.of_run(generation, folder / "images", spec.evaluation, reference)
        results = list(measurement.measure(measurement.compared(folder, model.device)))
    measurement.record(folder, results)
    for scratch in ("images", "features"):
        shutil.rmtree(folder / scratch, ignore_errors=True)
    return results
