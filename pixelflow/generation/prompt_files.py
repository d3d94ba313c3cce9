"""Files of captions to draw: UTF-8 text, one caption a line."""

from __future__ import annotations

import re
from pathlib import Path

from pixelflow.core.errors import DataError, MissingInputError


def read_prompts(path: Path) -> list[str]:
    """The captions in a file, without empty lines.

    Raises:
        MissingInputError: there is no such file.
        DataError: it is not UTF-8, or holds no caption.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise MissingInputError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    prompts = [line.strip() for line in re.split(r"[\r\n]+", text) if line.strip()]
    if not prompts:
        raise DataError(f"{path}: holds no prompt; write one a line")
    return prompts
