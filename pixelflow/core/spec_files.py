"""The spec that a command names: a file's, or one that comes with the package, with the changes that were asked for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from pixelflow.core import reading, shipped
from pixelflow.core.spec import ExperimentSpec
from pixelflow.system.errors import SpecError


def read_spec(path: Path, overrides: Sequence[str] = (), run: str | None = None) -> ExperimentSpec:
    """The validated spec with overrides applied, and renamed if `run` is given.

    Raises:
        MissingInputError: there is no such file, and no shipped spec of this name.
        SpecError: a line for every problem.
    """
    document = reading.read_document(shipped.found(path))
    if isinstance(document.data, dict) and "base" in document.data and "cascade" not in document.data:
        raise SpecError(f"{path}: is a sweep of experiments; run it with  pixelflow sweep run {path}")
    document = reading.override(document, overrides)
    if run is not None:
        document = reading.override(document, [f"name={json.dumps(run)}"], f"--run {run}")
    return reading.validate(ExperimentSpec, document)


def summary_of(spec: ExperimentSpec) -> str:
    """The line that says that a spec is good, and what it is about."""
    height, width = spec.image.size
    stages, patches = spec.stages, "/".join(str(patch) for patch in dict.fromkeys(spec.patches))
    return (
        f"ok: {spec.name}, {height}x{width} pixels, {stages} stage{'s' * (stages > 1)}, patch {patches}, "
        f"{spec.backbone.component.type_name()} on {spec.data.component.type_name()}"
    )
