"""Pictures in terminals that show them; nothing where standard output is no terminal."""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from pixelflow.system.errors import PixelflowError

if TYPE_CHECKING:
    from PIL.Image import Image

VARIABLE = "PIXELFLOW_PREVIEW"
"""``kitty``, ``iterm``, ``blocks`` or ``none``; by default what the terminal is known for, and none elsewhere."""
_CHUNK = 4096
"""Most letters of base64 in one of kitty's sequences."""
_WIDEST = 80
"""Columns of a picture of half blocks."""


def show(file: Path, out: TextIO | None = None, environment: Mapping[str, str] = os.environ) -> None:
    """Show a picture below what was printed, if the terminal is one that can."""
    stream = sys.stdout if out is None else out
    if stream is None or not stream.isatty() or (kind := _kind(environment)) is None:
        return
    with suppress(OSError, ValueError, PixelflowError):  # no picture is no harm
        stream.write(_WRITERS[kind](file) + "\n")
        stream.flush()


def _kind(environment: Mapping[str, str]) -> str | None:
    """How this terminal shows pictures."""
    wanted = environment.get(VARIABLE, "").lower()
    if wanted:
        return wanted if wanted in _WRITERS else None
    if environment.get("TMUX") or environment.get("STY"):  # what these pass on is not known
        return None
    if environment.get("KITTY_WINDOW_ID") or environment.get("TERM") in ("xterm-kitty", "xterm-ghostty"):
        return "kitty"
    return "iterm" if environment.get("TERM_PROGRAM") in ("iTerm.app", "WezTerm") else None


def _kitty(file: Path) -> str:
    """The graphics protocol of kitty, which takes PNG as it is, in pieces."""
    text = base64.b64encode(_png(file)).decode()
    pieces = [text[start : start + _CHUNK] for start in range(0, len(text), _CHUNK)]
    heads = ["a=T,f=100," if not place else "" for place in range(len(pieces))]
    more = [1] * (len(pieces) - 1) + [0]
    parts = zip(heads, more, pieces, strict=True)
    return "".join(f"\033_G{head}m={one};{piece}\033\\" for head, one, piece in parts)


def _iterm(file: Path) -> str:
    """iTerm2's inline images."""
    content = _png(file)
    return f"\033]1337;File=inline=1;size={len(content)}:{base64.b64encode(content).decode()}\a"


def _blocks(file: Path) -> str:
    """Two pixels a letter in 24-bit colours: the upper half block in the upper one's, on the lower one's ground."""
    from PIL import Image

    with Image.open(file) as opened:
        picture = opened.convert("RGB")
    width = min(_WIDEST, picture.width)
    height = max(2, round(picture.height * width / picture.width / 2) * 2)
    small = picture.resize((width, height), Image.Resampling.BOX)
    return "\n".join(_line(small, row) for row in range(0, height, 2))


def _line(picture: Image, row: int) -> str:
    pairs = [[picture.getpixel((column, row + half)) for half in (0, 1)] for column in range(picture.width)]
    letters = (f"\033[38;2;{_colour(upper)};48;2;{_colour(lower)}m▀" for upper, lower in pairs)
    return "".join(letters) + "\033[0m"


def _colour(pixel: object) -> str:
    return ";".join(map(str, pixel)) if isinstance(pixel, tuple) else str(pixel)


def _png(file: Path) -> bytes:
    from pixelflow.system.files import read_bytes

    return read_bytes(file, 2**26)


_WRITERS = {"kitty": _kitty, "iterm": _iterm, "blocks": _blocks}
