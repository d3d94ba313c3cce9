"""The one seam to torchvision, which other packages import.

A torchvision built for another torch cannot load its native operators. That would not matter here, where none is
used, but its import then fails: it registers fakes for ``torchvision::nms`` and ``qnms``, which nobody has defined.
"""

from __future__ import annotations

import functools
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path

import torch

from pixelflow.core.errors import MissingDependencyError

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


@functools.cache
def make_importable() -> None:
    """Call before anything imports torchvision; does nothing where its native operators load.

    Raises:
        MissingDependencyError: torchvision is not installed.
    """
    spec = find_spec("torchvision")
    if spec is None or spec.origin is None:
        raise MissingDependencyError("torchvision is missing; pip install torchvision, of the release made for torch")
    if not _native_operators_load(Path(spec.origin).parent):
        for schema in _SCHEMAS:
            _library().define(schema)


@functools.cache
def _library() -> torch.library.Library:
    """Kept for the life of the process: its definitions go when it does."""
    return torch.library.Library("torchvision", "DEF")


def _native_operators_load(folder: Path) -> bool:
    found = [folder / f"_C{suffix}" for suffix in EXTENSION_SUFFIXES if (folder / f"_C{suffix}").is_file()]
    if not found:
        return False
    try:
        torch.ops.load_library(str(found[0]))
    except OSError:
        return False
    return True
