"""Images with captions and labels in Parquet files."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np

from pixelflow.core.distribution import install
from pixelflow.core.errors import DataError, MissingDependencyError, first_line
from pixelflow.data.patterns import Patterns, matching
from pixelflow.data.rows import Table, TableDataset, UnreadableRowError

logger = logging.getLogger(__name__)

_LARGE_GROUP = 1 << 26
"""Bytes of a row group above which reading single rows is slow."""


class Parquet(TableDataset):
    """Rows of Parquet files, as the Hugging Face hub holds data sets; needs pyarrow.

    A row is read with its whole row group, so small groups (about 100 images) are fast.

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
        self._read: dict[tuple[str, ...], tuple[int, Any]] = {}
        """Columns -> the last group of which they were read, and its rows."""
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

    def row(self, index: int, columns: tuple[str, ...]) -> dict[str, Any]:
        group = int(np.searchsorted(self._firsts, index, side="right")) - 1
        try:
            if columns not in self._read or self._read[columns][0] != group:
                self._read[columns] = group, self._group(group, columns)
            rows = self._read[columns][1].slice(index - int(self._firsts[group]), 1).to_pylist()
            return dict(rows[0])
        except Exception as error:  # readers of hostile files raise whatever they run into
            raise UnreadableRowError(first_line(error)) from None

    def _group(self, group: int, columns: tuple[str, ...]) -> Any:
        file, own = self._groups[group]
        with _parquet().ParquetFile(self._paths[file], metadata=self._metadata[file]) as opened:
            return opened.read_row_group(own, columns=list(columns), use_threads=False)

    def distinct(self, column: str) -> list[Any]:
        found: dict[Any, None] = {}
        for group in range(len(self._groups)):
            found.update(dict.fromkeys(self._group(group, (column,)).column(column).unique().to_pylist()))
        return list(found)

    def fingerprint(self) -> str:
        states = [(path, path.stat()) for path in self._paths]
        told = "\n".join(f"{path} {state.st_size} {state.st_mtime_ns}" for path, state in states)
        return hashlib.sha256(told.encode()).hexdigest()


def _opened(path: Path) -> tuple[Any, Any]:
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
    return pyarrow.parquet
