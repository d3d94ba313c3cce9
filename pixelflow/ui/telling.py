"""What goes wrong on the page is said in the one line that the command line has for it."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator

from pixelflow.system.machine import as_ours

logger = logging.getLogger(__name__)


def line_of(error: Exception) -> str:
    """As the command line says it."""
    if (known := as_ours(error)) is not None:
        return "\n".join(f"pixelflow: {line}" for line in known.lines)
    logger.warning("the page: %s", error, exc_info=error)
    return f"pixelflow: this is a bug: {type(error).__name__}: {error}"


def told(outputs: int) -> Callable[[Callable[..., object]], Callable[..., object]]:
    """A handler whose last output is a line of text: on an error the others stay as they are and the line says it."""

    def wrap(handler: Callable[..., object]) -> Callable[..., object]:
        @functools.wraps(handler)
        def safe(*given: object) -> object:
            try:
                return handler(*given)
            except Exception as error:  # the page lives on
                return _only(line_of(error), outputs)

        return safe

    return wrap


def told_on_the_way(outputs: int) -> Callable[[Callable[..., Iterator[object]]], Callable[..., Iterator[object]]]:
    """`told` for a handler that yields."""

    def wrap(handler: Callable[..., Iterator[object]]) -> Callable[..., Iterator[object]]:
        @functools.wraps(handler)
        def safe(*given: object) -> Iterator[object]:
            try:
                yield from handler(*given)
            except Exception as error:
                yield _only(line_of(error), outputs)

        return safe

    return wrap


def _only(line: str, outputs: int) -> object:
    import gradio as gr

    return line if outputs == 1 else (*[gr.skip()] * (outputs - 1), line)
