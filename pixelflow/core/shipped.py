"""The specs that come with the package, found by their names."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pixelflow.core.spec import ExperimentSpec


def folder() -> Path:
    """Where they lie: inside the installed package, or beside it in its sources."""
    package = Path(str(resources.files("pixelflow")))
    inside = package / "specs"
    return inside if inside.is_dir() else package.parent / "specs"


def specs() -> dict[str, Path]:
    """Name -> file of every spec and sweep; their names are those of the files, without folder and ending."""
    return {path.stem: path for path in sorted(folder().rglob("*.yaml"))}


def found(path: Path) -> Path:
    """The file that a command's SPEC means: what lies there, else the shipped spec of this name, else the path."""
    return path if path.exists() or path.name != str(path) else specs().get(path.name, path)


def read_spec(path: Path, overrides: Sequence[str] = (), run: str | None = None) -> ExperimentSpec:
    """The validated spec with overrides applied, and renamed if `run` is given.

    Raises:
        MissingInputError: there is no such file, and no shipped spec of this name.
        SpecError: a line for every problem.
    """
    from pixelflow.core import reading
    from pixelflow.core.spec import ExperimentSpec
    from pixelflow.system.errors import SpecError

    document = reading.read_document(found(path))
    if isinstance(document.data, dict) and "base" in document.data and "cascade" not in document.data:
        raise SpecError(f"{path}: is a sweep of experiments; run it with  pixelflow sweep {path}")
    document = reading.override(document, overrides)
    if run is not None:
        document = reading.override(document, [f"name={json.dumps(run)}"], f"--run {run}")
    return reading.validate(ExperimentSpec, document)
