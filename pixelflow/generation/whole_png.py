"""Whether a PNG that is there already is the one that was written: a drawing that goes on believes it."""

from __future__ import annotations

import logging
import struct
import zlib
from pathlib import Path

from pixelflow.system.errors import PixelflowError
from pixelflow.system.files import read_bytes

logger = logging.getLogger(__name__)

_SIGNATURE, _END = b"\x89PNG\r\n\x1a\n", b"IEND"
_HEAD, _SUM = struct.Struct(">I4s"), struct.Struct(">I")
_LARGEST = 1 << 30
"""Bytes of a picture."""


def is_whole(file: Path) -> bool:
    """Whether a file is a PNG from its first byte to its last; a damaged one is named in the log.

    Decoders need not look at the sums of what they decode (Pillow passes over those of the pixels).
    """
    if not file.exists():
        return False
    try:
        content = read_bytes(file, _LARGEST)
    except PixelflowError as error:
        logger.warning("%s", error)
        return False
    if not _fits(content):
        logger.warning("%s: is damaged (the sums of the PNG do not fit), and not used", file)
        return False
    return True


def _fits(content: bytes) -> bool:
    """Whether every chunk fits its CRC-32, and the last one ends the file (PNG specification, section 5)."""
    place, kind = len(_SIGNATURE), b""
    while content.startswith(_SIGNATURE) and kind != _END and place + _HEAD.size + _SUM.size <= len(content):
        length, kind = _HEAD.unpack_from(content, place)
        end = place + _HEAD.size + length
        if end + _SUM.size > len(content) or zlib.crc32(content[place + 4 : end]) != _SUM.unpack_from(content, end)[0]:
            return False
        place = end + _SUM.size
    return kind == _END and place == len(content)
