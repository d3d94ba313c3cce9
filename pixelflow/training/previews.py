"""Pictures of what the averaged weights draw, from the same seeds every time: a grid and a filmstrip of the stages."""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from pixelflow.core import fields
from pixelflow.core.fields import CAPTION, LABEL
from pixelflow.core.interfaces import Conditioner, Dataset, Sample
from pixelflow.core.labels import label_indices, repeated
from pixelflow.core.model import FlowModel
from pixelflow.core.spec import ExperimentSpec
from pixelflow.system.errors import UsageError
from pixelflow.system.parallel import Parallel

logger = logging.getLogger(__name__)

_STRIP = 8
"""Most rows of a filmstrip."""


class Previews:
    """Draws ``samples/step-NNNNNNNN.png`` and ``samples/step-NNNNNNNN-stages.png``.

    Raises:
        UsageError: the spec asks for classes that the data do not have, or for what nothing is conditioned on.
    """

    def __init__(self, folder: Path, spec: ExperimentSpec, dataset: Dataset) -> None:
        self._folder, self._spec = folder, spec
        self._count = max(spec.training.samples, len(spec.training.prompts or ()), len(spec.training.labels or ()))
        self._dataset = dataset
        self._asked = {CAPTION.name: spec.training.prompts, LABEL.name: self._labels(spec)}
        """Field -> what the spec chooses to show."""
        self._check_reads(spec)

    def _labels(self, spec: ExperimentSpec) -> list[int] | None:
        chosen, classes = spec.training.labels, self._dataset.classes
        try:
            return None if chosen is None else label_indices(chosen, classes, len(classes))
        except UsageError as error:
            raise UsageError(f"training.labels: {error}") from None

    def _check_reads(self, spec: ExperimentSpec) -> None:
        kinds = [params.component for params in spec.conditioners]
        reads = {cls.reads for cls in kinds if issubclass(cls, Conditioner)}
        for key, field in (("prompts", CAPTION), ("labels", LABEL)):
            if getattr(spec.training, key) is not None and field.name not in reads:
                raise UsageError(f"training.{key}: no conditioner of the spec reads {field.many}; leave it out")

    def are_at(self, step: int) -> bool:
        """Whether `step` has a picture: the first, the last and every `sample_every`."""
        every = self._spec.training.sample_every
        return every is not None and (step % every == 0 or step == self._spec.training.steps)

    def is_due(self, step: int) -> bool:
        """Whether `step` has a picture that is not there yet."""
        return self.are_at(step) and not self._grid_file(step).exists()

    def draw(self, model: FlowModel, step: int, parallel: Parallel) -> Path | None:
        """Draw and write both pictures and return the grid's file; None, with a warning, where sampling cannot work.

        Every process draws some; the first has all, and writes. None in the others.
        """
        from pixelflow.generation.draw import draw
        from pixelflow.generation.pictures import CAPTION_CELL, CELL, columns_of, filmstrip, grid, write_png

        values = {name: self._values(name) for name in sorted({one.reads for one in model.conditioners})}
        try:
            drawn = list(draw(model, self._spec, values, range(self._count), keep_stages=True, parallel=parallel))
        except UsageError as error:
            if parallel.is_first:
                logger.warning("no pictures at step %d: %s", step, error)
            return None
        if not drawn:
            return None
        stages = [torch.cat(states)[:_STRIP] for states in zip(*(part.stages for part in drawn), strict=True)]
        clean = [torch.cat(states)[:_STRIP] for states in zip(*(part.clean for part in drawn), strict=True)]
        titles = fields.titles(values, self._dataset.classes)
        columns = columns_of(titles or ())
        images = torch.cat([part.images for part in drawn])
        cell = CAPTION_CELL if CAPTION.name in values else CELL
        write_png(
            self._strip_file(step),
            filmstrip(stages, clean=clean, rows=titles and titles[:_STRIP]),
        )
        write_png(self._grid_file(step), grid(images, titles, columns, cell))
        return self._grid_file(step)

    def files(self, step: int) -> dict[str, Path]:
        """The pictures of a step by what they show."""
        return {"samples": self._grid_file(step), "stages": self._strip_file(step)}

    def _grid_file(self, step: int) -> Path:
        return self._folder / f"step-{step:08d}.png"

    def _strip_file(self, step: int) -> Path:
        return self._folder / f"step-{step:08d}-stages.png"

    def _values(self, name: str) -> list[object]:
        """What the spec chooses, else every class in turn, or the data set's first values."""
        if asked := self._asked.get(name):
            return repeated(asked, self._count)
        if name == LABEL.name:
            return [index % max(1, len(self._dataset.classes)) for index in range(self._count)]
        found = []
        for index in range(len(self._dataset)):
            sample = self._dataset.sample(index, torch.Generator())
            if isinstance(sample, Sample) and (value := fields.field_of(name).of(sample)) is not None:
                found.append(value)
            if len(found) == self._count:
                break
        return repeated(found, self._count)
