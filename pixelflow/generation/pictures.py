"""Images as pictures for people: labelled grids and filmstrips of the stages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

CELL, CAPTION_CELL = 64, 128
"""Sides of cells that hold a name, or a caption."""
_LINES = 6
"""Most lines of a title; the rest of a longer one is left out."""
_GAP = 6
_TEXT = 13
_PAPER, _INK = (255, 255, 255), (60, 60, 60)


def to_uint8(images: Tensor) -> Tensor:
    """(b c h w) in [-1, 1], clipped -> uint8 (b h w c)"""
    scaled = (images.detach().float().cpu().clamp(-1, 1) + 1) * 127.5
    return rearrange(scaled.round().to(torch.uint8), "b c h w -> b h w c")


def to_pil(images: Tensor) -> list[Image.Image]:
    """(b 1 h w) or (b 3 h w) to grey or RGB pictures of the same size."""
    arrays = to_uint8(images).numpy()
    return [Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array) for array in arrays]


def grid(
    images: Tensor, titles: Sequence[str] | None = None, columns: int | None = None, cell: int = CELL
) -> Image.Image:
    """Images (b c h w) row by row, each with its title below; by default about as high as wide.

    Args:
        cell: smaller images are enlarged until their shorter side has this many pixels.
    """
    height, width = images.shape[-2:]
    columns = columns or max(1, round(math.sqrt(len(images) * height / width)))
    cells = _enlarged(images, _factor(height, width, cell))
    rows = [cells[start : start + columns] for start in range(0, len(cells), columns)]
    return _sheet(rows, below=titles)


def filmstrip(stages: Sequence[Tensor], titles: Sequence[str] | None = None) -> Image.Image:
    """One row an image, one column a stage (b c h_s w_s), all enlarged to the size of the last.

    Args:
        titles: heads of the columns; by default each stage's resolution, height x width.
    """
    height, width = stages[-1].shape[-2:]
    factor = _factor(height, width, CELL)
    columns = [_enlarged(stage, factor * height // stage.shape[-2]) for stage in stages]
    heads = titles or [f"{stage.shape[-2]} x {stage.shape[-1]}" for stage in stages]
    return _sheet([list(row) for row in zip(*columns, strict=True)], above=heads)


def _factor(height: int, width: int, cell: int) -> int:
    return max(1, math.ceil(cell / min(height, width)))


def _enlarged(images: Tensor, factor: int) -> list[Image.Image]:
    """Pictures with every pixel a square of `factor` pixels."""
    return [
        picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST).convert("RGB")
        for picture in to_pil(images)
    ]


@dataclass(frozen=True)
class _Places:
    """Where the cells of a sheet lie; all cells have one size."""

    width: int
    height: int
    head: int
    """Height of the line of text above the sheet."""
    foot: int
    """Height of the lines of text below each cell."""

    def corner(self, row: int, column: int) -> tuple[int, int]:
        """Top left corner of a cell; of row and column counts, the size of the sheet."""
        return _GAP + column * (self.width + _GAP), _GAP + self.head + row * (self.height + self.foot + _GAP)


def _sheet(
    rows: Sequence[Sequence[Image.Image]], above: Sequence[str] | None = None, below: Sequence[str] | None = None
) -> Image.Image:
    """Cells on white paper, with a head above each column or a title below each cell."""
    line = _TEXT + _GAP
    width, height = rows[0][0].size
    wrapped = [_wrapped(title, width) for title in below or ()]
    longest = max(map(len, wrapped), default=0)
    places = _Places(width, height, line if above else 0, (longest - 1) * _TEXT + line if longest else 0)
    sheet = Image.new("RGB", places.corner(len(rows), len(rows[0])), _PAPER)
    for index, title in enumerate(above or ()):
        x, y = places.corner(0, index)
        _write(sheet, title, (x, y - line), places.width)
    titles = iter(wrapped)
    for row, cells in enumerate(rows):
        for column, cell in enumerate(cells):
            x, y = places.corner(row, column)
            sheet.paste(cell, (x, y))
            for number, text in enumerate(next(titles, ())):
                _write(sheet, text, (x, y + places.height + number * _TEXT), places.width)
    return sheet


def _wrapped(title: str, width: int) -> list[str]:
    """A title in lines that fit the width, as far as its words do; the last line holds all the rest."""
    font = ImageFont.load_default(_TEXT)
    lines: list[str] = []
    for word in title.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and (font.getlength(longer) <= width or len(lines) == _LINES):
            lines[-1] = longer
        else:
            lines.append(word)
    return lines or [""]


def _write(sheet: Image.Image, text: str, corner: tuple[int, int], width: int) -> None:
    """One centred line of text, shortened to the width."""
    font = ImageFont.load_default(_TEXT)
    shown = text
    while shown and font.getlength(shown) > width:
        text = text[:-1]
        shown = text.rstrip() + "…" if text else ""
    place = (corner[0] + width / 2, corner[1] + (_TEXT + _GAP) / 2)
    ImageDraw.Draw(sheet).text(place, shown, fill=_INK, font=font, anchor="mm")
