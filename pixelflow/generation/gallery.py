"""A folder of generated images: numbered PNGs, a grid, a filmstrip, and the record that repeats them."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

from PIL import Image

from pixelflow.core import reading
from pixelflow.core.component import Settings
from pixelflow.core.document import Document
from pixelflow.generation.draw import Drawn, mean_nfe
from pixelflow.generation.orders import Order
from pixelflow.generation.pictures import CAPTION_CELL, CELL, columns_of, filmstrip, grid_of, to_pil
from pixelflow.generation.whole_png import is_whole
from pixelflow.runs.environment import plugin_changes
from pixelflow.system import decoding, terminal
from pixelflow.system.errors import CannotWriteError, DataError, NonFiniteError, PixelflowError, UsageError
from pixelflow.system.files import LOCK, check_free, is_free, locked_if_free, writing
from pixelflow.system.records import Body, FileKind, digest, only_sealed

RECORD = "samples.json"


def _nfe_named(body: Body) -> Body:
    """The migration from format 2 to 3: ``nfe`` was called ``evaluations``."""
    return {"nfe" if key == "evaluations" else key: value for key, value in body.items()}


_MIGRATIONS = (only_sealed, _nfe_named)
SAMPLES = FileKind(
    "a record of samples", f"give the {RECORD} of earlier samples, or draw them anew", migrations=_MIGRATIONS
)
AT_WORK = "another process draws into this folder; wait for it, or choose another --out"

_DRAFT, _BEGUN = ".unfinished", "progress.json"
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
    nfe: tuple[float, ...]
    """Network function evaluations that an image took, by stage."""
    seconds: float
    environment: Body
    """Versions and platform."""


def read_order(path: Path) -> Order:
    """The order in a record.

    Raises:
        MissingInputError: there is no such file.
        DataError: it is not a record, or not as it was written.
        SpecError: it is one that was changed into something that does not validate.
    """
    return _read_record(path).order


def _read_record(path: Path) -> Record:
    body = SAMPLES.read(path)
    if "order" not in body:
        raise DataError(f"{path}: is no record; give the {RECORD} of earlier samples")
    return reading.validate(Record, Document(str(path), body), terminal.be_silent)


class DrawingProgress(Settings):
    """How far an unfinished drawing has come: the first images are there, in whole batches."""

    drawing: str
    """Hash of all that decides on the images: the order, and the versions and plugins that carry it out."""
    images: int
    nfe: tuple[float, ...]
    """Network function evaluations that each took, by stage; the mean over batches."""
    seconds: float


_PROGRESS = FileKind(
    "the progress of a drawing", "remove it, and the drawing begins anew", DrawingProgress, _MIGRATIONS
)


@dataclass(frozen=True)
class Subject:
    """What a gallery shows."""

    order: Order
    environment: Body
    """Versions, platform and plugins that carry the order out."""
    titles: Sequence[str]
    """One an image."""
    channels: int
    """1 for grey, 3 for colour."""

    @cached_property
    def drawing(self) -> str:
        """See `DrawingProgress.drawing`."""
        return digest({"order": self.order.model_dump(mode="json"), "environment": dict(self.environment)})


def holds(folder: Path, subject: Subject) -> bool:
    """Whether the folder holds what was drawn by this very order, whole, and by the plugins as they are now.

    Raises:
        CannotWriteError: what one that was killed had drawn cannot be put into place.
    """
    _complete(folder)
    if not (folder / RECORD).exists():
        return False
    with suppress(PixelflowError):
        found, order = _read_record(folder / RECORD), subject.order
        if found.order != order or plugin_changes(found.environment, subject.environment):
            return False
        return all(is_whole(folder / _name(index)) for index in range(len(order.seeds)))
    return False


def place_for(samples: Path, subject: Subject, *, is_new: bool = False) -> Path:
    """``drawn``, ``drawn-2`` ... in a run's folder of samples: the first that holds this drawing, or is free.

    Args:
        is_new: whether one that is finished does not count.

    Raises:
        CannotWriteError: what one that was killed had drawn cannot be put into place.
    """
    number = 1
    while True:
        folder = samples / ("drawn" if number == 1 else f"drawn-{number}")
        _complete(folder)
        if is_free(folder):
            begun = _progress(folder)
            if begun is None or begun.drawing == subject.drawing:
                return folder
        elif not is_new and holds(folder, subject):
            return folder
        number += 1


def _complete(folder: Path) -> None:
    """Put into place what one that was killed on the way had drawn whole."""
    draft = folder / _DRAFT
    if not (draft / RECORD).exists():
        return
    with locked_if_free(draft / LOCK) as is_mine:
        if is_mine:
            _put_into_place(folder)
            shutil.rmtree(draft, ignore_errors=True)


def _put_into_place(folder: Path) -> None:
    """Move a whole drawing to where it belongs, the record last: a kill on the way is made good by the next."""
    draft = folder / _DRAFT
    with writing(folder):
        (draft / _BEGUN).unlink(missing_ok=True)
        for path in sorted(draft.iterdir(), key=lambda path: (path.name == RECORD, path.name)):
            if path.name != LOCK:
                path.replace(folder / path.name)


def _progress(folder: Path) -> DrawingProgress | None:
    """How far the unfinished drawing in a folder has come; None if there is none that can be gone on with."""
    file = folder / _DRAFT / _BEGUN
    if not file.exists():
        return None
    with suppress(PixelflowError):
        found = DrawingProgress.model_validate(_PROGRESS.read(file))
        if all(_is_there(folder / _DRAFT / _name(index)) for index in range(found.images)):
            return found
    return None


def _is_there(file: Path) -> bool:
    """Whether it holds anything: a machine that stopped may leave names of files alone."""
    return file.is_file() and file.stat().st_size > 0


class Gallery:
    """A folder for one drawing: images are written into a hidden one as they come, and `finish` puts them into place.

    So a folder holds a whole drawing or none of it, and nothing that was there before is ever replaced. Entered, it
    keeps other processes out; left without `finish`, by a stop or a kill, it keeps the whole batches hidden, and the
    next that is entered for the same drawing goes on behind the `images` that are there.

    Raises:
        CannotWriteError: something is in the folder, another drawing's images too; or the system refuses.
        UsageError: another process draws into it.
    """

    def __init__(self, folder: Path, subject: Subject) -> None:
        self.folder, self.subject = folder, subject
        self._progress = DrawingProgress(drawing=subject.drawing, images=0, nfe=(), seconds=0)
        self._draft = folder / _DRAFT
        self._lock = ExitStack()
        self._shown: list[Image.Image] = []
        """Of the grid, as far as they were drawn here."""

    @property
    def images(self) -> int:
        """How many are there."""
        return self._progress.images

    def __enter__(self) -> Self:
        _complete(self.folder)
        self._check_free()
        with writing(self.folder):
            self._draft.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            if not stack.enter_context(locked_if_free(self._draft / LOCK)):
                raise UsageError(f"{self.folder}: {AT_WORK}")
            stack.callback(self._leave)
            self._check_free()
            self._go_on()
            self._began = time.perf_counter() - self._progress.seconds
            self._lock = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._lock.close()

    def _leave(self) -> None:
        """Remove what nobody can go on with."""
        if _progress(self.folder) is None and not (self._draft / RECORD).exists():
            shutil.rmtree(self._draft, ignore_errors=True)

    def _check_free(self) -> None:
        if not (self._draft / RECORD).exists():
            check_free(self.folder)

    def _go_on(self) -> None:
        """Take over what one that was stopped left of this drawing, if it is whole, and remove what else it left."""
        begun = _progress(self.folder)
        if begun is not None and begun.drawing != self._progress.drawing:
            raise CannotWriteError(
                f"{self.folder}: holds {begun.images} images of another drawing, which was stopped and goes on by its "
                f"own command; choose another --out, or remove {self._draft}"
            )
        if begun is not None and not all(
            is_whole(self._draft / name) for name in (STAGES, *map(_name, range(begun.images)))
        ):
            begun = None
        self._progress = begun or self._progress
        kept = {LOCK, STAGES, _BEGUN, *map(_name, range(self.images))} if begun else {LOCK}
        for path in self._draft.iterdir():
            if path.name not in kept:
                path.unlink()

    def add(self, drawn: Drawn) -> None:
        """Write the next batch.

        Raises:
            NonFiniteError: an image is not finite; nobody needs to go on with those before it.
        """
        finite = drawn.images.flatten(1).isfinite().all(dim=1)
        for place, (own_finite, picture) in enumerate(zip(finite.tolist(), to_pil(drawn.images), strict=True)):
            if not own_finite:
                (self._draft / _BEGUN).unlink(missing_ok=True)
                raise NonFiniteError(
                    f"image {self.images + place} is not finite: the run's weights or the sampling settings diverge; "
                    "try more steps, less guidance or an earlier --step"
                )
            self._save(picture, _name(self.images + place))
            if self.images + place < _IN_GRID:
                self._shown.append(picture)
        if not self.images:
            stages, clean = ([stage[:_IN_STRIP] for stage in states] for states in (drawn.stages, drawn.clean))
            self._save(filmstrip(stages, clean=clean, rows=self.subject.titles[: len(stages[-1])]), STAGES)
        before = [(self.images, self._progress.nfe)] if self.images else []
        self._progress = DrawingProgress(
            drawing=self._progress.drawing,
            images=self.images + len(drawn.images),
            nfe=mean_nfe([*before, (len(drawn.images), drawn.nfe)]),
            seconds=time.perf_counter() - self._began,
        )
        _PROGRESS.write(self._draft / _BEGUN, self._progress.model_dump(mode="json"))

    def finish(self, columns: int | None = None) -> Record:
        """Put the images into place, with a grid, a filmstrip and, last, the record.

        Args:
            columns: of the grid; by default one for each class or caption.
        """
        order = self.subject.order
        record = Record(
            order=order,
            images=self.images,
            nfe=self._progress.nfe,
            seconds=round(self._progress.seconds, 3),
            environment=dict(self.subject.environment),
        )
        count = min(self.images, _IN_GRID)
        before = [_read(self._draft / _name(index), self.subject.channels) for index in range(count - len(self._shown))]
        columns = columns or columns_of(order.captions or order.labels or ())
        cell = CAPTION_CELL if order.captions else CELL
        self._save(grid_of([*before, *self._shown], self.subject.titles[:count], columns, cell), GRID)
        SAMPLES.write(self._draft / RECORD, record.model_dump(mode="json"))
        _put_into_place(self.folder)
        return record

    def _save(self, picture: Image.Image, name: str) -> None:
        with writing(self.folder / name):
            picture.save(self._draft / name)


def _read(file: Path, channels: int) -> Image.Image:
    """A picture of the drawing."""
    try:
        return decoding.read(file, channels)
    except decoding.UnreadableImageError as error:
        raise DataError(f"{file}: cannot be read ({error}); remove it, and the drawing begins anew") from None


def _name(index: int) -> str:
    return f"{index:06d}.png"
