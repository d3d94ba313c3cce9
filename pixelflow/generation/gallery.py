"""A folder of generated images: numbered PNGs, a grid, a filmstrip, and the record that repeats them."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor

from pixelflow.core import reading
from pixelflow.core.component import Settings
from pixelflow.core.document import Document
from pixelflow.core.errors import DataError, NonFiniteError
from pixelflow.core.files import read_bytes, write_text, writing
from pixelflow.generation.draw import Drawn, mean_evaluations
from pixelflow.generation.orders import Order
from pixelflow.generation.pictures import CAPTION_CELL, CELL, filmstrip, grid, to_pil

RECORD = "samples.json"

_LARGEST_RECORD = 1 << 30
"""Bytes of a record; ten million captioned images have fewer."""
_DRAFT = ".unfinished"
GRID, STAGES = "grid.png", "stages.png"
"""Sheets beside the images."""
NUMBERED = re.compile(r"\d{6,}\.png")
"""Names of the images."""
_IN_GRID, _IN_STRIP = 100, 8
"""Most images in the grid and in the filmstrip."""


class Record(Settings):
    """An order and what came of it."""

    order: Order
    images: int
    evaluations: tuple[float, ...]
    """Network evaluations that an image took, by stage."""
    seconds: float
    environment: dict[str, Any]
    """Versions and platform."""


def read_order(path: Path) -> Order:
    """The order in a record.

    Raises:
        MissingInputError: there is no such file.
        DataError: it is not a record.
        SpecError: it is one that was changed into something that does not validate.
    """
    try:
        data = json.loads(read_bytes(path, _LARGEST_RECORD))
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict) or "order" not in data:
        raise DataError(f"{path}: is no record; give the {RECORD} of earlier samples")
    return reading.validate(Record, Document(str(path), data)).order


class Gallery:
    """Writes images as they come, into a hidden folder; `finish` puts them in the place of an earlier gallery.

    So a folder holds a whole gallery or none of it. What an interrupted one left hidden is removed by the next.

    Raises:
        CannotWriteError: the system refuses.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._count = 0
        self._evaluations: list[tuple[int, list[float]]] = []
        self._shown: list[Tensor] = []
        self._stages: list[Tensor] = []
        self._clean: list[Tensor] = []
        self._draft = folder / _DRAFT
        with writing(folder):
            shutil.rmtree(self._draft, ignore_errors=True)
            self._draft.mkdir(parents=True)

    def _clear(self) -> None:
        """Remove an earlier gallery; a folder without a record holds none, and its files are left alone."""
        if not (self.folder / RECORD).exists():
            return
        for path in self.folder.iterdir():
            if NUMBERED.fullmatch(path.name) or path.name in (RECORD, GRID, STAGES):
                path.unlink()

    def add(self, drawn: Drawn) -> None:
        """Write a batch.

        Raises:
            NonFiniteError: an image is not finite.
        """
        finite = drawn.images.flatten(1).isfinite().all(dim=1)
        for own_finite, picture in zip(finite.tolist(), to_pil(drawn.images), strict=True):
            if not own_finite:
                raise NonFiniteError(
                    f"image {self._count} is not finite: the run's weights or the sampling settings diverge; "
                    "try more steps, less guidance or an earlier --step"
                )
            self._save(picture, f"{self._count:06d}.png")
            self._count += 1
        self._evaluations.append((len(drawn.images), drawn.evaluations))
        if sum(map(len, self._shown)) < _IN_GRID:
            self._shown.append(drawn.images)
        if not self._stages:
            self._stages = [stage[:_IN_STRIP] for stage in drawn.stages]
            self._clean = [stage[:_IN_STRIP] for stage in drawn.clean]

    @property
    def evaluations(self) -> tuple[float, ...]:
        """Network evaluations an image, by stage; the mean over batches."""
        return mean_evaluations(self._evaluations)

    def finish(self, record: Record, titles: Sequence[str], columns: int | None) -> None:
        """Put the images into place, with a grid, a filmstrip and, last, the record."""
        shown = torch.cat(self._shown)[:_IN_GRID]
        cell = CAPTION_CELL if record.order.captions else CELL
        self._save(grid(shown, titles[: len(shown)], columns, cell), GRID)
        names = titles[: len(self._stages[-1])]
        self._save(filmstrip(self._stages, clean=self._clean, rows=names), STAGES)
        with writing(self.folder):
            self._clear()
            for path in sorted(self._draft.iterdir()):
                path.replace(self.folder / path.name)
            self._draft.rmdir()
        write_text(self.folder / RECORD, record.model_dump_json(indent=1))

    def _save(self, picture: Image, name: str) -> None:
        with writing(self.folder / name):
            picture.save(self._draft / name)
