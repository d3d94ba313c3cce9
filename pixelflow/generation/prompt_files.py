"""Files of captions to draw: UTF-8 text, one caption a line."""

from __future__ import annotations

import re
from pathlib import Path

from pixelflow.system.errors import DataError, MissingInputError
from pixelflow.system.streams import read_start

_LARGEST = 1 << 28
"""Bytes; ten million captions have about so many."""


def read_prompts(path: Path) -> list[str]:
    """The captions in a file, without empty lines.

    Raises:
        MissingInputError: there is no such file.
        DataError: it is not UTF-8, endless, a pipe into which nobody writes, or holds no caption.
    """
    try:
        content = read_start(path, _LARGEST + 1)
    except OSError as error:
        raise MissingInputError(f"{path}: cannot be read ({error.strerror})") from None
    if len(content) > _LARGEST:
        raise DataError(f"{path}: is larger than {_LARGEST} bytes")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    prompts = [line.strip() for line in re.split(r"[\r\n]+", text) if line.strip()]
    if not prompts:
        raise DataError(f"{path}: holds no prompt; write one a line")
    return prompts
