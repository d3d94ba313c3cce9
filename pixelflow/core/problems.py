"""Validation errors that belong to a place other than the model that found them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from pydantic_core import PydanticCustomError

T = TypeVar("T")


class problem(PydanticCustomError):  # noqa: N801, N818 - reads as a statement: raise problem(...)
    """A validation error at `path` below the model that raises it.

    pydantic gives every error of a model-level check the model's own place; ``reading`` adds the path.
    """

    def __new__(cls, text: str, *path: str) -> problem:
        return super().__new__(cls, "problem", "{text}", {"text": text, "path": list(path)})

    @staticmethod
    def within(prefix: tuple[str, ...], call: Callable[..., T], *args: Any) -> T:
        """Call; a problem (or any ValueError) that it raises lies below `prefix`."""
        try:
            return call(*args)
        except problem as error:
            context = error.context or {}
            raise problem(context["text"], *prefix, *context["path"]) from None
        except ValueError as error:
            raise problem(str(error), *prefix) from None
