"""Images as pictures for people: labelled grids and filmstrips of the stages."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from einops import rearrange
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from pixelflow.system.files import write_bytes, writing

CELL, CAPTION_CELL = 64, 128
"""Sides of cells that hold a name, or a caption."""
_LINES = 6
"""Most lines of a title; the rest of a longer one is left out."""
_GAP = 6
_TEXT = 13
_MARGIN = 128
"""Most width of the names before the rows."""
_WIDEST = 20
"""Most columns of a grid that has one for each label or caption."""
_PAPER, _INK = (255, 255, 255), (60, 60, 60)


def to_uint8(images: Tensor) -> Tensor:
    """(b c h w) in [-1, 1], clipped -> uint8 (b h w c)"""
    scaled = (images.detach().float().cpu().clamp(-1, 1) + 1) * 127.5
    return rearrange(scaled.round().to(torch.uint8), "b c h w -> b h w c")


def to_pil(images: Tensor) -> list[Image.Image]:
    """(b 1 h w) or (b 3 h w) to grey or RGB pictures of the same size."""
    arrays = to_uint8(images).numpy()
    return [Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array) for array in arrays]


def write_png(path: Path, picture: Image.Image) -> None:
    """Write a picture, whole or not at all; raises CannotWriteError."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    write_bytes(path, buffer.getvalue())


def grid(
    images: Tensor | Sequence[Tensor],
    titles: Sequence[str] | None = None,
    columns: int | None = None,
    cell: int = CELL,
) -> Image.Image:
    """Images (b c h w), or (c h w) of any sizes, each in the middle of a cell with its title below.

    Args:
        columns: of cells, which are filled row by row; by default the grid is about as high as wide.
        cell: smaller images are enlarged until their shorter side has this many pixels.
    """
    return grid_of([picture for image in images for picture in to_pil(image[None])], titles, columns, cell)


def grid_of(
    pictures: Sequence[Image.Image],
    titles: Sequence[str] | None = None,
    columns: int | None = None,
    cell: int = CELL,
) -> Image.Image:
    """A `grid` of what pictures already are."""
    count = len(pictures)
    height, width = sum(one.height for one in pictures) / count, sum(one.width for one in pictures) / count
    columns = columns or max(1, round(math.sqrt(count * height / width)))
    factor = math.ceil(max(1.0, *(cell / min(one.size) for one in pictures)))
    cells = _enlarged(pictures, factor)
    rows = [cells[start : start + columns] for start in range(0, count, columns)]
    return _sheet(rows, below=titles)


def columns_of(values: Sequence[object]) -> int | None:
    """One column for each label or caption where several repeat in order; else None."""
    different = len(set(values))
    repeats = all(value == values[place % different] for place, value in enumerate(values))
    return different if repeats and 1 < different <= min(_WIDEST, len(values) // 2) else None


def filmstrip(
    stages: Sequence[Tensor],
    titles: Sequence[str] | None = None,
    clean: Sequence[Tensor] = (),
    rows: Sequence[str] | None = None,
    cell: int = CELL,
) -> Image.Image:
    """One row an image, one column a stage (b c h_s w_s), all enlarged to the size of the last.

    Args:
        titles: heads of the stages' columns; by default each stage's resolution, height x width.
        clean: the clean images that the stages were heading for (b c h_s w_s), shown beside all states but the last,
            which is clean itself.
        rows: names of the images, written before their rows.
        cell: as of a `grid`.
    """
    height, width = stages[-1].shape[-2:]
    factor = max(1, math.ceil(cell / min(height, width)))
    titles = titles or [f"{stage.shape[-2]} x {stage.shape[-1]}" for stage in stages]
    shown = list(zip(titles, stages, strict=True))
    if clean:
        pairs = zip(shown, clean, strict=True)
        shown = [column for own, estimate in pairs for column in (own, ("clean", estimate))][:-1]
    columns = [_enlarged(to_pil(images), factor * height // images.shape[-2]) for _, images in shown]
    cells = [list(row) for row in zip(*columns, strict=True)]
    return _sheet(cells, above=[title for title, _ in shown], left=rows)


def _enlarged(pictures: Sequence[Image.Image], factor: int) -> list[Image.Image]:
    """In colour, with every pixel a square of `factor` pixels."""
    return [
        picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST).convert("RGB")
        for picture in pictures
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
    margin: int
    """Width of the text before each row."""

    def corner(self, row: int, column: int) -> tuple[int, int]:
        """Top left corner of a cell; of row and column counts, the size of the sheet."""
        return _GAP + self.margin + column * (self.width + _GAP), _GAP + self.head + row * (
            self.height + self.foot + _GAP
        )


def _sheet(
    rows: Sequence[Sequence[Image.Image]],
    above: Sequence[str] | None = None,
    below: Sequence[str] | None = None,
    left: Sequence[str] | None = None,
) -> Image.Image:
    """Cells on white paper, with a head above each column, a name before each row or a title below each cell."""
    line = _TEXT + _GAP
    sizes = [cell.size for row in rows for cell in row]
    width, height = max(width for width, _ in sizes), max(height for _, height in sizes)
    wrapped = [_wrapped(title, width) for title in below or ()]
    longest = max(map(len, wrapped), default=0)
    foot = (longest - 1) * _TEXT + line if longest else 0
    places = _Places(width, height, line if above else 0, foot, _margin(left) if left else 0)
    sheet = Image.new("RGB", places.corner(len(rows), len(rows[0])), _PAPER)
    for index, title in enumerate(above or ()):
        x, y = places.corner(0, index)
        _write(sheet, title, (x, y - line), places.width)
    for index, name in enumerate(left or ()):
        lines = _wrapped(name, places.margin - _GAP)[: max(1, height // _TEXT)]
        top = places.corner(index, 0)[1] + (height - len(lines) * _TEXT - _GAP) / 2
        for number, text in enumerate(lines):
            _write(sheet, text, (0, top + number * _TEXT), places.margin)
    titles = iter(wrapped)
    for row, cells in enumerate(rows):
        for column, cell in enumerate(cells):
            x, y = places.corner(row, column)
            sheet.paste(cell, (x + (width - cell.width) // 2, y + (height - cell.height) // 2))
            for number, text in enumerate(next(titles, ())):
                _write(sheet, text, (x, y + places.height + number * _TEXT), places.width)
    return sheet


def _margin(names: Sequence[str]) -> int:
    """Width of the names before the rows: no more than the longest needs."""
    font = ImageFont.load_default(_TEXT)
    widths = [math.ceil(font.getlength(name[:_MARGIN])) + 2 * _GAP for name in names]
    return min(_MARGIN, max(widths))


def _wrapped(title: str, width: int) -> list[str]:
    """A title in lines that fit the width, as far as its words do; the last line holds the rest.

    What is longer than its lines if every letter were one pixel wide is cut: measuring takes time.
    """
    font = ImageFont.load_default(_TEXT)
    lines: list[str] = []
    for word in title[: _LINES * width].split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and (len(lines) == _LINES or font.getlength(longer) <= width):
            lines[-1] = longer
        else:
            lines.append(word)
    return lines or [""]


def _write(sheet: Image.Image, text: str, corner: tuple[float, float], width: int) -> None:
    """One centred line of text, shortened to the width."""
    font = ImageFont.load_default(_TEXT)
    shown = text = text[: width + 1]
    while shown and font.getlength(shown) > width:
        text = text[:-1]
        shown = text.rstrip() + "…" if text else ""
    place = (corner[0] + width / 2, corner[1] + (_TEXT + _GAP) / 2)
    ImageDraw.Draw(sheet).text(place, shown, fill=_INK, font=font, anchor="mm")
