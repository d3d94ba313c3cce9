"""Images with captions and labels in Parquet files."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal

import numpy as np

from pixelflow.data.patterns import Patterns, matching
from pixelflow.data.rows import Table, TableDataset, TooManyError, UnreadableRowError
from pixelflow.system.distribution import install
from pixelflow.system.errors import DataError, MissingDependencyError, first_line

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

logger = logging.getLogger(__name__)

_LARGE_GROUP = 1 << 26
"""Bytes of a row group above which reading single rows is slow."""
_LARGEST_CHUNK = 1 << 31
"""Bytes of a column in a row group; a larger one is refused."""
_MEMORY, _MOST_ROWS = 1 << 26, 1024
"""Bytes and rows that are unpacked together."""


class Parquet(TableDataset):
    """Rows of Parquet files, as the Hugging Face hub holds data sets; needs pyarrow.

    A row group is unpacked from its start up to the row, so small groups (about 100 images) are fast.

    Raises:
        MissingDependencyError: pyarrow is not installed.
        MissingInputError: a file does not exist.
        DataError: a file cannot be read or has other columns than the first; and as `TableDataset`.
    """

    class Params(TableDataset.Params):
        type: Literal["parquet"] = "parquet"
        files: Patterns
        """Paths, in which ``{000..012}`` and ``{a,b}`` stand for several, and ``*`` and ``?`` for what is there."""

    params: Params

    def _open(self) -> Table:
        return _ParquetTable(matching(self.params.files, "data.files"))


class _ParquetTable(Table):
    """The rows of several files, one after the other."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._metadata, schemas = zip(*(_opened(path) for path in paths), strict=True)
        self.name = str(paths[0]) if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"
        self.root = paths[0].parent
        self.schema = schemas[0]
        for path, schema in zip(paths, schemas, strict=True):
            if schema.names != self.schema.names:
                raise DataError(f"{path}: has other columns than {paths[0]}; name files of one kind in data.files")
        self._groups = [(file, group) for file, own in enumerate(self._metadata) for group in range(own.num_row_groups)]
        sizes = [self._metadata[file].row_group(group).num_rows for file, group in self._groups]
        self._firsts = np.cumsum([0, *sizes])
        self._readers: dict[tuple[str, ...], _GroupReader] = {}
        """Columns -> where they were last read."""
        self._warn_of_large_groups()

    def _warn_of_large_groups(self) -> None:
        largest = max((self._metadata[f].row_group(g).total_byte_size for f, g in self._groups), default=0)
        if largest > _LARGE_GROUP:
            logger.warning(
                "%s: has row groups of %d MB, and each image reads a whole one; write it anew with groups of 100 rows",
                self.name, largest >> 20,
            )  # fmt: skip

    def __len__(self) -> int:
        return int(self._firsts[-1])

    @property
    def bytes(self) -> int:
        return sum(path.stat().st_size for path in self._paths)

    def row(self, index: int, columns: tuple[str, ...]) -> dict[str, object]:
        group = int(np.searchsorted(self._firsts, index, side="right")) - 1
        place = index - int(self._firsts[group])
        try:
            reader = self._readers.get(columns)
            if reader is None or reader.group != group or reader.first > place:
                reader = self._readers[columns] = self._reader(group, columns)
            return reader.row(place)
        except Exception as error:  # readers of hostile files raise whatever they run into
            self._readers.pop(columns, None)
            raise UnreadableRowError(first_line(error)) from None

    def _reader(self, group: int, columns: tuple[str, ...]) -> _GroupReader:
        file, own = self._groups[group]
        return _GroupReader(group, self._paths[file], self._metadata[file], own, columns)

    def distinct(self, column: str, most: int) -> list[object]:
        found: dict[object, None] = {}
        for group in range(len(self._groups)):
            for batch in self._reader(group, (column,)):
                found.update(dict.fromkeys(batch.column(0).unique().to_pylist()))
                if len(found) > most:
                    raise TooManyError
        return list(found)

    def __getstate__(self) -> dict[str, object]:
        """Without what is open: a worker opens its own."""
        return {**self.__dict__, "_readers": {}}

    def fingerprint(self) -> str:
        states = [(path, path.stat()) for path in self._paths]
        told = "\n".join(f"{path} {state.st_size} {state.st_mtime_ns}" for path, state in states)
        return hashlib.sha256(told.encode()).hexdigest()


class _GroupReader:
    """Some columns of one row group, unpacked from its start on in batches.

    A few bytes can stand for any number of equal large values, so that a whole group is never in memory: a batch has
    no more rows than fit, if every value were as large as the column lets it be.
    """

    def __init__(self, group: int, path: Path, metadata: pq.FileMetaData, own: int, columns: Sequence[str]) -> None:
        self.group = group
        self.first = 0
        """Row with which the current batch begins."""
        rows = _rows_at_a_time(path, metadata.row_group(own), columns)
        opened = _parquet().ParquetFile(path, metadata=metadata)
        self._batches = opened.iter_batches(batch_size=rows, row_groups=[own], columns=list(columns), use_threads=False)
        self._batch: pa.RecordBatch | None = None

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return iter(self._batches)

    def row(self, place: int) -> dict[str, object]:
        """A row at or behind the current batch's first."""
        while self._batch is None or place >= self.first + len(self._batch):
            self.first += 0 if self._batch is None else len(self._batch)
            self._batch = next(self._batches)
        return dict(self._batch.slice(place - self.first, 1).to_pylist()[0])


def _rows_at_a_time(path: Path, group: pq.RowGroupMetaData, columns: Sequence[str]) -> int:
    """How many rows of a row group may be unpacked together; raises UnreadableRowError if not even one."""
    chunks = [group.column(place) for place in range(group.num_columns)]
    largest = 1
    for chunk in (one for one in chunks if one.path_in_schema.split(".")[0] in columns):
        if chunk.num_values > max(path.stat().st_size, group.num_rows):
            raise UnreadableRowError(f"declares {chunk.num_values} values, more than the file has bytes")
        if chunk.total_uncompressed_size > _LARGEST_CHUNK:
            raise UnreadableRowError(
                f"its row group has {chunk.total_uncompressed_size >> 20} MB; write it anew with groups of 100 rows"
            )
        # Without a dictionary every value stands in full, so that their mean is known.
        count = 1 if chunk.has_dictionary_page else max(1, group.num_rows)
        largest = max(largest, chunk.total_uncompressed_size // count)
    return max(1, min(_MOST_ROWS, _MEMORY // largest))


def _opened(path: Path) -> tuple[pq.FileMetaData, pa.Schema]:
    """The metadata and the schema of a file."""
    reader = _parquet()
    try:
        metadata = reader.read_metadata(path)
        return metadata, metadata.schema.to_arrow_schema()
    except Exception as error:  # readers of hostile files raise whatever they run into
        raise DataError(f"{path}: is no Parquet file that can be read ({first_line(error)})") from None


def _parquet() -> ModuleType:
    try:
        import pyarrow.parquet
    except ImportError:
        raise MissingDependencyError(f"parquet needs the package pyarrow: {install('hf')}") from None
    module: ModuleType = pyarrow.parquet
    return module
