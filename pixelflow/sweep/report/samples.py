"""Samples of every point, in one order of seeds and labels, as small pictures."""

from __future__ import annotations

import base64
import io
import logging
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from pixelflow.generation.whole_png import is_whole
from pixelflow.system import decoding

logger = logging.getLogger(__name__)

_COUNT = 12
_LONGEST = 128
"""Larger images are reduced to this many pixels."""
_SHOWN = 48
"""Height in pixels at which a strip is shown, or a multiple of its own that is about so large."""
_TEXT = 14


def strip(folder: Path) -> Image.Image | None:
    """The first images of a folder beside each other, as far as they can be read; None if there are none."""
    files = sorted(folder.glob("[0-9]*.png"))[:_COUNT]
    pictures = list(filter(None, map(_reduced, files)))
    if not pictures:
        return None
    width, height = pictures[0].size
    joined = Image.new("RGB", (len(pictures) * (width + 1) - 1, height), "white")
    for index, picture in enumerate(pictures):
        joined.paste(picture, (index * (width + 1), 0))
    return joined


def factor(picture: Image.Image) -> int:
    """By what a strip is enlarged where it is shown."""
    return max(1, round(_SHOWN / picture.height))


def png(picture: Image.Image) -> bytes:
    """A picture as a file."""
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def data_uri(picture: Image.Image) -> str:
    """A picture within a page."""
    return f"data:image/png;base64,{base64.b64encode(png(picture)).decode('ascii')}"


def sheet(strips: Sequence[tuple[str, Image.Image]]) -> Image.Image:
    """Titled strips below each other, enlarged."""
    large = [(title, _enlarged(picture)) for title, picture in strips]
    head = max(int(_font().getlength(title)) for title, _ in large) + 16
    width = head + max(picture.width for _, picture in large)
    paper = Image.new("RGB", (width, sum(picture.height + 4 for _, picture in large)), "white")
    top = 0
    for title, picture in large:
        place = (8, top + picture.height / 2)
        ImageDraw.Draw(paper).text(place, title, fill="black", font=_font(), anchor="lm")
        paper.paste(picture, (head, top))
        top += picture.height + 4
    return paper


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(_TEXT)


def _enlarged(picture: Image.Image) -> Image.Image:
    times = factor(picture)
    return picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST)


def _reduced(file: Path) -> Image.Image | None:
    """None, and a line, for one that is damaged."""
    if not is_whole(file):
        return None
    try:
        picture = decoding.read(file, 3)
    except decoding.UnreadableImageError as error:
        logger.warning("%s: cannot be read (%s); the report goes without it", file, error)
        return None
    picture.thumbnail((_LONGEST, _LONGEST))
    return picture
