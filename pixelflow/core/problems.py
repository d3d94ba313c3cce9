"""Validation errors that belong to a place other than the model that found them, and how they name values."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

from pydantic_core import PydanticCustomError

T = TypeVar("T")
Given = TypeVarTuple("Given")


class problem(PydanticCustomError):  # noqa: N801, N818 - reads as a statement: raise problem(...)
    """A validation error at `path` below the model that raises it.

    pydantic gives every error of a model-level check the model's own place; ``reading`` adds the path.
    """

    def __new__(cls, text: str, *path: str | int) -> problem:
        return super().__new__(cls, "problem", "{text}", {"text": text, "path": list(path)})

    @staticmethod
    def within(prefix: tuple[str, ...], call: Callable[[*Given], T], *args: *Given) -> T:
        """Call; a problem (or any ValueError) that it raises lies below `prefix`."""
        try:
            return call(*args)
        except problem as error:
            context = error.context or {}
            raise problem(context["text"], *prefix, *context["path"]) from None
        except ValueError as error:
            raise problem(str(error), *prefix) from None


def shown(value: object, longest: int = 40) -> str:
    """A value as an error message names it: ``true``, ``3``, ``the text 'x'``, ``a list``."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return "a list"
    if isinstance(value, dict):
        return "a block of keys and values"
    if value is None:
        return "nothing"
    text = f"the text {value!r}" if isinstance(value, str) else repr(value)
    return text if len(text) <= longest else f"{text[: longest - 3]}..."
