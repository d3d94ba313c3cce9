"""The one seam to torchvision, which other packages import.

A torchvision built for another torch cannot load its native operators. That would not matter here, where none is
used, but its import then fails: it registers fakes for ``torchvision::nms`` and ``qnms``, which nobody has defined.
"""

from __future__ import annotations

import functools

import torch
from torch import library

from pixelflow.system.errors import MissingDependencyError, first_line

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_UNDEFINED = "operator torchvision::nms does not exist"


@functools.cache
def make_importable() -> None:
    """Import torchvision, with its operators defined where that failed for want of them; nothing where it is missing.

    Call before anything imports it.

    Raises:
        MissingDependencyError: it is installed and cannot be imported for another reason.
    """
    try:
        _import()
    except RuntimeError as error:
        if _UNDEFINED not in str(error):
            raise MissingDependencyError(
                f"torchvision cannot be imported ({first_line(error)}); install the release made for torch "
                f"{torch.__version__}"
            ) from None
        for schema in _SCHEMAS:
            _library().define(schema)
        _import()


def _import() -> None:
    try:
        import torchvision  # noqa: F401 - that it can be is all
    except ModuleNotFoundError as error:
        if error.name != "torchvision":
            raise


@functools.cache
def _library() -> library.Library:
    """Kept for the life of the process: its definitions go when it does."""
    return library.Library("torchvision", "DEF")
