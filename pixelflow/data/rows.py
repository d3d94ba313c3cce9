"""The base of data sets whose elements are rows of a table with a column of encoded images."""

from __future__ import annotations

import io
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Literal

import torch

from pixelflow.core.classes import in_order, numbered
from pixelflow.core.errors import DataError, first_line
from pixelflow.core.interfaces import BadSample, Dataset, Sample
from pixelflow.core.sizes import Size
from pixelflow.data.captions import BadCaptionError, cell_captions, column_of, drawn, usable
from pixelflow.data.decoding import UnreadableImageError
from pixelflow.data.framing import FramedParams, Framing

_IMAGES = ("image", "img", "jpg", "png", "webp")
_LABELS = ("label", "labels", "cls")


class UnreadableRowError(ValueError):
    """A row cannot be read; the message says why."""


class Table(ABC):
    """Rows of an Arrow schema, read in any order; must pickle."""

    schema: Any
    """Of pyarrow."""
    root: Path
    """Where the paths in it start."""
    name: str
    """For messages."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def row(self, index: int, columns: tuple[str, ...]) -> dict[str, Any]:
        """Some cells of a row; raises UnreadableRowError."""

    @abstractmethod
    def distinct(self, column: str) -> list[Any]:
        """The values in a column, each once."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Changes when the table may have."""

    @cached_property
    def features(self) -> dict[str, Any]:
        """What Hugging Face's ``datasets`` wrote down of the columns; empty if another program wrote the table."""
        try:
            found = json.loads((self.schema.metadata or {})[b"huggingface"])["info"]["features"]
        except (KeyError, ValueError, TypeError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}


class TableDataset(Dataset, ABC):
    """Rows with an image as bytes, or as bytes and a path, captions as text or texts, and a label.

    Raises:
        DataError: there are no rows, or columns are not there or of another kind.
    """

    class Params(FramedParams):
        image: str | None = None
        """Column of the images; by default image, img, jpg, png or webp."""
        column: str | None = None
        """Column that holds a caption or a list of them; by default text, caption, captions or prompt, if there."""
        label: str | None = None
        """Column of the labels; by default label, labels or cls, if it is there."""
        labels: Literal["auto", "none"] = "auto"
        """"none" leaves the labels out."""

    params: Params
    keeps_shape: ClassVar[bool] = True

    def __init__(self, params: Params, *, height: int, width: int, channels: int, sizes: tuple[Size, ...] = ()) -> None:
        super().__init__(params)
        self._framing = Framing(params, height, width, channels, sizes)
        self._table = self._open()
        if not len(self._table):
            raise DataError(f"{self._table.name}: holds no rows")
        self._image = self._chosen(params.image, _IMAGES, "image")
        if self._image is None:
            raise self._lacks("an image column", "image")
        self._caption = self._caption_column()
        self._label = self._chosen(params.label, _LABELS, "label") if params.labels == "auto" else None
        self._label_of = self._numbered()
        self.classes = tuple(str(name) for name in self._label_of)
        self._columns = tuple(name for name in (self._image, self._caption, self._label) if name is not None)

    @abstractmethod
    def _open(self) -> Table:
        """The table that the settings name."""

    def _chosen(self, wanted: str | None, usual: Sequence[str], key: str) -> str | None:
        """The wanted column, or the first of the usual ones that is there."""
        there = self._table.schema.names
        if wanted is not None and wanted not in there:
            raise self._lacks(f"a column {wanted!r}", key)
        return wanted or next((name for name in usual if name in there), None)

    def _lacks(self, what: str, key: str) -> DataError:
        there = ", ".join(self._table.schema.names)
        return DataError(f"{self._table.name}: lacks {what} (there are: {there}); set data.{key}")

    def _caption_column(self) -> str | None:
        try:
            return column_of(self._table.schema.names, self.params.column)
        except BadCaptionError as error:
            if self.params.column is None:
                return None
            raise DataError(f"{self._table.name}: {error}") from None

    def _numbered(self) -> dict[Any, int]:
        """Name of each class -> label; the values of the column are names or labels. Empty without labels."""
        if self._label is None:
            return {}
        feature = self._table.features.get(self._label)
        names = feature.get("names") if isinstance(feature, dict) else None
        if isinstance(names, list):
            return {name: label for label, name in enumerate(names)}
        try:
            values = [value for value in self._table.distinct(self._label) if value is not None]
        except Exception as error:  # readers of hostile files raise whatever they run into
            raise DataError(f"{self._table.name}: {self._label!r} cannot be read ({first_line(error)})") from None
        if all(isinstance(value, str) for value in values):
            return {name: label for label, name in enumerate(in_order(values))}
        if all(isinstance(value, int) and 0 <= value < 1 << 31 for value in values):
            self.has_names = False
            return {name: label for label, name in enumerate(numbered(max(values, default=-1) + 1))}
        raise DataError(
            f"{self._table.name}: the labels in {self._label!r} are neither names nor numbers from 0; "
            "set data.labels to none"
        )

    @property
    def fingerprint(self) -> str:
        """Settings, and what tells of a change of the files."""
        return f"{self.params.model_dump_json()} {self._table.fingerprint()}"

    def __len__(self) -> int:
        return len(self._table)

    def sample(self, index: int, generator: torch.Generator) -> Sample | BadSample:
        try:
            row = self._table.row(index, self._columns)
            image = self._framing(self._source(row[str(self._image)]), generator)
            caption = drawn(self._usable(row), generator)
            return Sample(image, label=self._labelled(row), caption=caption)
        except (UnreadableRowError, UnreadableImageError, BadCaptionError) as error:
            return BadSample(f"{self._table.name}: row {index}", str(error))

    def captions(self, index: int) -> list[str]:
        if self._caption is None:
            return []
        try:
            return self._usable(self._table.row(index, (self._caption,)))
        except (UnreadableRowError, BadCaptionError):
            return []

    def _usable(self, row: dict[str, Any]) -> list[str]:
        """The captions in a row, none only where there is no column of them; raises BadCaptionError."""
        if self._caption is None:
            return []
        cell = row[self._caption]
        captions = [] if cell is None else cell_captions(cell, self._caption)
        return usable(captions, f"in column {self._caption!r}")

    def _labelled(self, row: dict[str, Any]) -> int | None:
        if self._label is None:
            return None
        value = row[self._label]
        label = self._label_of.get(value) if isinstance(value, str) else value
        if not isinstance(label, int) or not 0 <= label < len(self.classes):
            raise UnreadableRowError(f"its label {value!r} is none of the {len(self.classes)} classes")
        return label

    def _source(self, cell: Any) -> BinaryIO | Path:
        """The encoded image in a cell; a path is opened only if it is a file."""
        content, path = (cell.get("bytes"), cell.get("path")) if isinstance(cell, dict) else (cell, None)
        if isinstance(content, bytes):
            return io.BytesIO(content)
        path = content if isinstance(content, str) else path
        if not isinstance(path, str):
            raise UnreadableRowError(f"its cell {self._image!r} holds no image")
        file = self._table.root / path
        if not file.is_file():
            raise UnreadableImageError(f"{file} is no file")
        return file
