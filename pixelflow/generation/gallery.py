"""A folder of generated images: numbered PNGs, a grid, a filmstrip, and the record that repeats them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Self

import torch
from PIL.Image import Image
from torch import Tensor

from pixelflow.core import reading
from pixelflow.core.component import Settings
from pixelflow.core.document import Document
from pixelflow.generation.draw import Drawn, mean_evaluations
from pixelflow.generation.orders import Order
from pixelflow.generation.pictures import CAPTION_CELL, CELL, filmstrip, grid, to_pil
from pixelflow.system.errors import DataError, NonFiniteError, PixelflowError, UsageError
from pixelflow.system.files import LOCK, check_free, is_free, locked_if_free, writing
from pixelflow.system.records import Kind

RECORD = "samples.json"

SAMPLES = Kind("a record of samples", f"give the {RECORD} of earlier samples, or draw them anew")
AT_WORK = "another process draws into this folder; wait for it, or choose another --out"

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
        DataError: it is not a record, or not as it was written.
        SpecError: it is one that was changed into something that does not validate.
    """
    body = SAMPLES.read(path)
    if "order" not in body:
        raise DataError(f"{path}: is no record; give the {RECORD} of earlier samples")
    return reading.validate(Record, Document(str(path), body)).order


def holds(folder: Path, order: Order) -> bool:
    """Whether the folder holds what was drawn by this very order, whole."""
    with suppress(PixelflowError):
        found = read_order(folder / RECORD)
        return found == order and all((folder / _name(index)).is_file() for index in range(len(order.seeds)))
    return False


def place_for(samples: Path, order: Order | None) -> Path:
    """``drawn``, ``drawn-2`` ... in a run's folder of samples: the first that is free.

    Args:
        order: where a folder on the way holds what was drawn by it, that one.
    """
    number = 1
    while not is_free(folder := samples / ("drawn" if number == 1 else f"drawn-{number}")):
        if order is not None and holds(folder, order):
            break
        number += 1
    return folder


class Gallery:
    """A folder for one drawing: images are written into a hidden one as they come, and `finish` puts them into place.

    So a folder holds a whole drawing or none of it, and nothing that was there before is ever replaced. Entered, it
    keeps other processes out; left without `finish`, it leaves nothing behind.

    Raises:
        CannotWriteError: something is in the folder, or the system refuses.
        UsageError: another process draws into it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._count = 0
        self._evaluations: list[tuple[int, list[float]]] = []
        self._shown: list[Tensor] = []
        self._stages: list[Tensor] = []
        self._clean: list[Tensor] = []
        self._draft = folder / _DRAFT
        self._lock = ExitStack()

    def __enter__(self) -> Self:
        self._check_free()
        with writing(self.folder):
            self._draft.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            if not stack.enter_context(locked_if_free(self._draft / LOCK)):
                raise UsageError(f"{self.folder}: {AT_WORK}")
            stack.callback(shutil.rmtree, self._draft, ignore_errors=True)
            if (self._draft / RECORD).exists():
                self._put_into_place()  # what one that was killed on the way had drawn
            self._check_free()
            self._clear()
            self._lock = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._lock.close()

    def _check_free(self) -> None:
        if not (self._draft / RECORD).exists():
            check_free(self.folder)

    def _clear(self) -> None:
        """Remove what one that was killed before left hidden."""
        for path in self._draft.iterdir():
            if path.name != LOCK:
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
            self._save(picture, _name(self._count))
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
        SAMPLES.write(self._draft / RECORD, record.model_dump(mode="json"))
        self._put_into_place()

    def _put_into_place(self) -> None:
        """Move a whole drawing to where it belongs, the record last: a kill on the way is made good by the next."""
        with writing(self.folder):
            for path in sorted(self._draft.iterdir(), key=lambda path: (path.name == RECORD, path.name)):
                if path.name != LOCK:
                    path.replace(self.folder / path.name)

    def _save(self, picture: Image, name: str) -> None:
        with writing(self.folder / name):
            picture.save(self._draft / name)


def _name(index: int) -> str:
    return f"{index:06d}.png"
