"""Hugging Face data sets on disk."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal

from pixelflow.data.rows import Table, TableDataset, TooManyError, UnreadableRowError
from pixelflow.system.distribution import install
from pixelflow.system.errors import DataError, MissingDependencyError, MissingInputError, first_line
from pixelflow.system.files import opened, read_bytes

if TYPE_CHECKING:
    import datasets

_ROWS = 1000
"""That are read at a time, to find the labels."""
_LARGEST_STATE = 1 << 26
"""Bytes of the records of a saved data set."""


class HfDataset(TableDataset):
    """A data set that ``datasets.Dataset.save_to_disk`` wrote; mapped into memory, nothing is downloaded or run.

    Raises:
        MissingDependencyError: the package datasets is not installed.
        MissingInputError: there is no such folder.
        DataError: it holds no data set, or several splits and none is chosen; and as `TableDataset`.
    """

    class Params(TableDataset.Params):
        type: Literal["hf_dataset"] = "hf_dataset"
        path: Path
        """The folder; a relative path starts at the current directory."""
        split: str | None = None
        """Which split, where the folder holds several."""

    params: Params

    def _open(self) -> Table:
        return _SavedTable(self.params.path.expanduser(), self.params.split)


class _SavedTable(Table):
    """The Arrow rows of one split."""

    def __init__(self, folder: Path, split: str | None) -> None:
        self.name, self.root = str(folder), folder
        self._rows = _loaded(folder, split).with_format("arrow")
        self.schema = self._rows.features.arrow_schema
        self._selected: dict[tuple[str, ...], datasets.Dataset] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def row(self, index: int, columns: tuple[str, ...]) -> dict[str, object]:
        try:
            if columns not in self._selected:
                self._selected[columns] = self._rows.select_columns(list(columns))
            return dict(self._selected[columns][index].to_pylist()[0])
        except Exception as error:  # readers of hostile files raise whatever they run into
            raise UnreadableRowError(first_line(error)) from None

    def distinct(self, column: str, most: int) -> list[object]:
        found = {}
        for first in range(0, len(self), _ROWS):
            part = self._rows.select_columns([column])[first : first + _ROWS]
            found.update(dict.fromkeys(part.column(column).unique().to_pylist()))
            if len(found) > most:
                raise TooManyError
        return list(found)

    @property
    def bytes(self) -> int:
        return sum(path.stat().st_size for path in self.root.rglob("*.arrow"))

    def fingerprint(self) -> str:
        states = [(path, path.stat()) for path in sorted(self.root.rglob("*.arrow"))]
        told = "\n".join(f"{path} {state.st_size} {state.st_mtime_ns}" for path, state in states)
        return hashlib.sha256(told.encode()).hexdigest()


def _check_names(folder: Path) -> None:
    """Raise DataError where a saved data set names files or splits that lie elsewhere, or are pipes and the like."""
    for file, keys in (("state.json", ("_data_files", "_indices_data_files")), ("dataset_dict.json", ("splits",))):
        for path in (folder / file, *folder.glob(f"*/{file}")):
            if not path.exists():
                continue
            try:
                told = json.loads(read_bytes(path, _LARGEST_STATE))
                listed = [entry for key in keys for entry in told.get(key) or ()]
                names = [entry["filename"] if isinstance(entry, dict) else entry for entry in listed]
            except (ValueError, RecursionError, TypeError, LookupError, AttributeError):
                raise DataError(f"{folder}: is no data set that save_to_disk wrote ({path.name} is damaged)") from None
            for name in names:
                if not isinstance(name, str) or name in ("", ".", "..") or Path(name).name != name:
                    raise DataError(f"{path}: names {name!r}, which lies elsewhere; it is not read")
                if os.path.lexists(path.parent / name) and not (path.parent / name).is_dir():
                    opened(path.parent / name).close()


def _loaded(folder: Path, split: str | None) -> datasets.Dataset:
    """The Dataset in a folder, or of one split of its DatasetDict."""
    library = _datasets()
    if not folder.is_dir():
        raise MissingInputError(f"{folder}: there is no such folder; set data.path, relative to {Path.cwd()}")
    _check_names(folder)
    try:
        found = library.load_from_disk(str(folder))
    except Exception as error:  # it raises whatever its parsers of hostile files raise
        raise DataError(f"{folder}: is no data set that save_to_disk wrote ({first_line(error)})") from None
    if isinstance(found, library.Dataset):
        if split is not None:
            raise DataError(f"{folder}: holds one data set without splits; leave data.split out")
        return found
    if split not in found:
        raise DataError(f"{folder}: holds the splits {', '.join(found)}; set data.split to one of them")
    return found[split]


def _datasets() -> ModuleType:
    try:
        import datasets
    except ImportError:
        raise MissingDependencyError(f"hf_dataset needs the package datasets: {install('hf')}") from None
    module: ModuleType = datasets
    return module
