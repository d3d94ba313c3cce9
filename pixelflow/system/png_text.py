"""PNG files without their text: comments, metadata and colour profiles of any size, which the pixels do not need."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import BinaryIO

from pixelflow.system.files import opened

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TEXT = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
_HEAD = struct.Struct(">I4s")
_SUM = 4
"""Bytes of the check sum behind a chunk."""


def without_text(source: Path | BinaryIO, most: int) -> bytes:
    """The file with every other chunk as it is.

    Raises:
        ValueError: it is no PNG, or more than `most` bytes would be kept.
        OSError: it cannot be read.
    """
    if isinstance(source, Path):
        with opened(source) as file:
            return without_text(file, most)
    source.seek(0)
    if source.read(len(_SIGNATURE)) != _SIGNATURE:
        raise ValueError("no PNG")
    kept = io.BytesIO()
    kept.write(_SIGNATURE)
    while len(head := source.read(_HEAD.size)) == _HEAD.size:
        length, kind = _HEAD.unpack(head)
        if kind in _TEXT:
            source.seek(length + _SUM, io.SEEK_CUR)
            continue
        if kept.tell() + length > most:
            raise ValueError(f"more than {most} bytes of pixels")
        kept.write(head + source.read(length + _SUM))
    return kept.getvalue()
