"""The base of data sets whose elements are rows of a table with a column of encoded images."""

from __future__ import annotations

import io
import json
import os
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, ClassVar, Literal

import numpy as np
import torch

from pixelflow.core.classes import in_order, numbered
from pixelflow.core.interfaces import BadSample, Dataset, Sample, Survey
from pixelflow.core.sizes import Size
from pixelflow.data.caption_tables import BadCaptionError, cell_captions, column_of
from pixelflow.data.captions import drawn, usable
from pixelflow.data.class_numbers import MOST_IDS, classes_of
from pixelflow.data.framing import FramedParams, Framing, surveyed
from pixelflow.data.listing import plain
from pixelflow.system import decoding
from pixelflow.system.decoding import UnreadableImageError
from pixelflow.system.errors import DataError, first_line
from pixelflow.system.files import is_plain_file

if TYPE_CHECKING:
    import pyarrow as pa

_IMAGES = ("image", "img", "jpg", "png", "webp")
_LABELS = ("label", "labels", "cls")


class UnreadableRowError(ValueError):
    """A row cannot be read; the message says why."""


class TooManyError(ValueError):
    """A column has more different values than are asked for."""


class Table(ABC):
    """Rows of an Arrow schema, read in any order; must pickle."""

    schema: pa.Schema
    root: Path
    """Where the paths in it start."""
    name: str
    """For messages."""

    @abstractmethod
    def __len__(self) -> int: ...

    @property
    @abstractmethod
    def bytes(self) -> int:
        """On the disk; every row has an image, so that a table with more rows than bytes is none of images."""

    @abstractmethod
    def row(self, index: int, columns: tuple[str, ...]) -> dict[str, object]:
        """Some cells of a row; raises UnreadableRowError."""

    @abstractmethod
    def distinct(self, column: str, most: int) -> list[object]:
        """The values in a column, each once; raises TooManyError."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Changes when the table may have."""

    @cached_property
    def features(self) -> dict[str, object]:
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
        if len(self._table) > self._table.bytes:
            raise DataError(f"{self._table.name}: declares {len(self._table)} rows in {self._table.bytes} bytes")
        self._image = self._chosen(params.image, _IMAGES, "image")
        if self._image is None:
            raise self._lacks("an image column", "image")
        self._caption = self._caption_column()
        self._label = self._chosen(params.label, _LABELS, "label") if params.labels == "auto" else None
        self._label_of = self._numbered()
        """What a cell of the labels holds, a name or a number -> label."""
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

    def _numbered(self) -> dict[str | int, int]:
        """Sets the classes. Empty without labels."""
        if self._label is None:
            return {}
        feature = self._table.features.get(self._label)
        told = feature.get("names") if isinstance(feature, dict) else None
        if isinstance(told, list):
            return self._named([str(name) for name in told])
        try:
            values = [value for value in self._table.distinct(self._label, MOST_IDS) if value is not None]
        except TooManyError:
            raise DataError(
                f"{self._table.name}: the labels in {self._label!r} are more than {MOST_IDS} different values: "
                "they are no classes; set data.labels to none"
            ) from None
        except Exception as error:  # readers of hostile files raise whatever they run into
            raise DataError(f"{self._table.name}: {self._label!r} cannot be read ({first_line(error)})") from None
        names = [value for value in values if isinstance(value, str)]
        if len(names) == len(values):
            self.classes = in_order(map(plain, names))
            place = {name: label for label, name in enumerate(self.classes)}
            return {value: place[plain(value)] for value in names}
        numbers = [value for value in values if isinstance(value, int) and 0 <= value < 1 << 63]
        if len(numbers) == len(values):
            found = np.array(numbers, np.int64)
            self.classes, labels = classes_of(found, self._table.name, "; set data.labels to none")
            self.has_names = self.classes != numbered(len(self.classes))
            return dict(zip(numbers, labels.tolist(), strict=True))
        raise DataError(
            f"{self._table.name}: the labels in {self._label!r} are neither names nor numbers from 0; "
            "set data.labels to none"
        )

    def _named(self, names: Sequence[str]) -> dict[str | int, int]:
        """Classes whose cells hold their names or their places."""
        self.classes = tuple(names)
        return {place: place for place in range(len(names))} | {name: place for place, name in enumerate(names)}

    @property
    def fingerprint(self) -> str:
        """Settings, and what tells of a change of the files."""
        return f"{self.params.model_dump_json()} {self._table.fingerprint()}"

    def __len__(self) -> int:
        return len(self._table)

    def sample(self, index: int, generator: torch.Generator) -> Sample | BadSample:
        try:
            row = self._table.row(index, self._columns)
            source, name = self._source(row[str(self._image)])
            image = self._framing(source, generator, name)
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

    def _usable(self, row: dict[str, object]) -> list[str]:
        """The captions in a row, none only where there is no column of them; raises BadCaptionError."""
        if self._caption is None:
            return []
        cell = row[self._caption]
        captions = [] if cell is None else cell_captions(cell, self._caption)
        return usable(captions, f"in column {self._caption!r}")

    def _labelled(self, row: dict[str, object]) -> int | None:
        if self._label is None:
            return None
        value = row[self._label]
        label = self._label_of.get(value) if isinstance(value, (str, int)) else None
        if label is None:
            raise UnreadableRowError(f"its label {value!r} is none of the {len(self.classes)} classes")
        return label

    def survey(self, most: int) -> Survey:
        """Of the first rows, for a table may have to be unpacked up to a row that is read."""
        return surveyed(min(len(self), most), most, self._size)

    def _size(self, index: int) -> Size:
        try:
            return decoding.shape(*self._source(self._table.row(index, (str(self._image),))[str(self._image)]))[1:]
        except UnreadableRowError as error:
            raise UnreadableImageError(str(error)) from None

    def _source(self, cell: object) -> tuple[BinaryIO | Path, str]:
        """The encoded image in a cell, and the name of its file; a path is opened only if it is a file below the root.

        Links below the root are followed, as in folders of images: they are not the table's, but the file system's.
        """
        content, path = (cell.get("bytes"), cell.get("path")) if isinstance(cell, dict) else (cell, None)
        path = content if isinstance(content, str) else path
        if isinstance(content, bytes):
            return io.BytesIO(content), path if isinstance(path, str) else ""
        if not isinstance(path, str):
            raise UnreadableRowError(f"its cell {self._image!r} holds no image")
        root = os.path.abspath(self._table.root)  # noqa: PTH100 - without following links
        file = os.path.normpath(os.path.join(root, path))  # noqa: PTH118 - likewise
        if not file.startswith(os.path.join(root, "")):  # noqa: PTH118
            raise UnreadableImageError(f"the path {path!r} leads out of {self._table.root}")
        spelt = [file, *(unicodedata.normalize(form, file) for form in ("NFC", "NFD"))]
        found = next((one for one in map(Path, spelt) if is_plain_file(one)), None)
        if found is None:
            raise UnreadableImageError(f"{file} is no file")
        return found, ""
