"""Which pictures of a folder count as images to measure, and what is known of them.

Where a folder holds the record of ``pixelflow sample``, these are exactly the images that it records, with what they
were drawn from. Sheets that lie beside images (``grid.png``, ``stages.png``, and what training draws of its progress)
are no images: a note says what was left out.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from pixelflow.core.sizes import Size
from pixelflow.data.image_folder import channels_of, image_files, sizes_of
from pixelflow.generation.gallery import GRID, NUMBERED, RECORD, SAMPLES, STAGES
from pixelflow.system.files import is_plain_file, read_bytes
from pixelflow.system.printing import printable
from pixelflow.system.records import LARGEST

logger = logging.getLogger(__name__)

_LOOKED_AT = 1000
"""Images whose sizes are compared."""
_NAMED = 3
_PREVIEW = re.compile(r"step-\d{8}(-stages)?\.png")
"""What training draws into a run's folder of samples."""


T = TypeVar("T")


@dataclass(frozen=True)
class DrawnSamples:
    """What the record of `pixelflow sample` says of the images beside it."""

    images: int
    classes: tuple[str, ...]
    labels: Sequence[int] | None
    captions: Sequence[str] | None

    @property
    def files(self) -> dict[str, int]:
        """Name of each image -> its place in the drawing."""
        return {f"{index:06d}.png": index for index in range(self.images)}


@dataclass(frozen=True)
class Pictures:
    """The pictures below a folder that count as images.

    Raises:
        MissingInputError, DataError: there is no such folder, or no picture in it.
    """

    root: Path

    @cached_property
    def found(self) -> list[str]:
        """All pictures, by their paths relative to the folder; in the order of `ImageFolder`."""
        return image_files(self.root)

    @cached_property
    def indices(self) -> list[int] | None:
        """Places of those that count; None if all do."""
        kept = [index for index, file in enumerate(self.found) if self._counts(file)]
        return None if len(kept) == len(self.found) else kept

    @property
    def files(self) -> list[str]:
        """Those that count."""
        return self.found if self.indices is None else [self.found[index] for index in self.indices]

    @cached_property
    def channels(self) -> int:
        """3 if one of them shows colour, else 1."""
        return channels_of(self.root, self.files)

    @cached_property
    def sizes(self) -> list[Size]:
        """Their heights and widths, the most frequent first; raises DataError where none can be read."""
        return sizes_of(self.root, self.files, _LOOKED_AT)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the labels that records give."""
        return self._drawing.classes if self.labels is not None and self._drawing is not None else ()

    @property
    def labels(self) -> list[int] | None:
        """Of each image, what it was drawn to show; None where no record says it."""
        return self._recorded(self._drawing.labels) if self._drawing is not None else None

    @property
    def captions(self) -> list[str] | None:
        """Likewise."""
        return self._recorded(self._drawing.captions) if self._drawing is not None else None

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out, and what a record tells of and is not there; a line each."""
        lines = []
        if self.indices is not None:
            kept = set(self.indices)
            out = [file for index, file in enumerate(self.found) if index not in kept]
            named = ", ".join(printable(file) for file in out[:_NAMED])
            more = f" and {len(out) - _NAMED} more" if len(out) > _NAMED else ""
            lines.append(
                f"{printable(str(self.root))}: {named}{more} left out: no images of a drawing, or sheets of several"
            )
        if self._drawing is not None and len(self.files) < self._drawing.images:
            gone = self._drawing.images - len(self.files)
            lines.append(
                f"{printable(str(self.root))}: {gone} of the {self._drawing.images} images of {RECORD} are not there"
            )
        return tuple(lines)

    @cached_property
    def _drawing(self) -> DrawnSamples | None:
        """What the folder's own record says."""
        return self._drawings.get("")

    @cached_property
    def _drawings(self) -> Mapping[str, DrawnSamples]:
        """Folder -> what its record says, for those that have one."""
        found = {folder: _read(self.root / folder / RECORD) for folder in self._names}
        return {folder: drawing for folder, drawing in found.items() if drawing is not None}

    @cached_property
    def _names(self) -> Mapping[str, set[str]]:
        """Folder, relative -> names of the pictures in it; with every folder above one."""
        found: dict[str, set[str]] = defaultdict(set)
        for file in self.found:
            folder, _, name = file.rpartition(os.sep)
            found[folder].add(name)
            while folder:
                folder = folder.rpartition(os.sep)[0]
                found[folder] |= set()
        return found

    def _counts(self, file: str) -> bool:
        folder, _, name = file.rpartition(os.sep)
        recorded = _nearest(folder, self._drawings)
        if recorded is not None:
            return recorded == folder and name in self._recorded_names[folder]
        if name in (GRID, STAGES):
            return not self._has_numbered[folder]
        return not (_PREVIEW.fullmatch(name) and self._is_of_training(folder))

    @cached_property
    def _recorded_names(self) -> Mapping[str, Mapping[str, int]]:
        return {folder: drawing.files for folder, drawing in self._drawings.items()}

    @cached_property
    def _has_numbered(self) -> Mapping[str, bool]:
        return {folder: any(map(NUMBERED.fullmatch, names)) for folder, names in self._names.items()}

    def _is_of_training(self, folder: str) -> bool:
        above = (self.root / folder).resolve()
        return above.name == "samples" and (above.parent / "spec.yaml").is_file()

    def _recorded(self, column: Sequence[T] | None) -> list[T] | None:
        if column is None:
            return None
        places = self._recorded_names[""]
        return [column[places[file]] for file in self.files]


def _nearest(folder: str, drawings: Mapping[str, DrawnSamples]) -> str | None:
    """The folder itself, or the nearest above it, that has a record."""
    while folder not in drawings:
        if not folder:
            return None
        folder = folder.rpartition(os.sep)[0]
    return folder


def _read(file: Path) -> DrawnSamples | None:
    """A record as far as it tells of images; None where there is none, or a file of somebody else's.

    Raises:
        DataError: it is a record of ours, and damaged.
    """
    if not is_plain_file(file):
        return None
    try:
        found = json.loads(read_bytes(file, LARGEST))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        logger.warning("%s: is no record of samples; the pictures beside it are taken as they are", file)
        return None
    body = SAMPLES.opened(found, str(file))
    try:
        order, classes = body["order"], body["environment"]["classes"]
        count = len(order["seeds"])
        columns = [order.get("labels"), order.get("captions")]
    except (LookupError, TypeError, AttributeError):
        return None
    if not isinstance(classes, list) or any(column is not None and len(column) != count for column in columns):
        return None
    return DrawnSamples(count, tuple(map(str, classes)), *columns)
