"""Files that call themselves images and must not be trained on, in every kind that was thought of."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image


def noise(side: int = 48) -> Image.Image:
    """A picture that does not compress, so that half its file is half its content."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8))


def encoded(image: Image.Image, kind: str, **settings) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **settings)
    return buffer.getvalue()


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks)


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]


def with_jpeg_size(content: bytes, width: int, height: int) -> bytes:
    start = content.index(b"\xff\xc0") + 5
    return content[:start] + struct.pack(">HH", height, width) + content[start + 4 :]


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("picture.png", encoded(noise(), "PNG"))
    return buffer.getvalue()


def saved_array() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((8, 8, 3), np.uint8))
    return buffer.getvalue()


def _kinds() -> dict[str, bytes]:
    full = {kind: encoded(noise(), kind) for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")}
    end = chunk(b"IEND", b"")
    return {
        **{f"half.{kind.lower()}": half(content) for kind, content in full.items()},
        "empty.png": b"",
        "text.jpg": b"this is a shopping list",
        "page.jpeg": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
        "noise.png": np.random.default_rng(1).bytes(5000),
        "zeros.jpg": bytes(5000),
        "signature.png": full["PNG"][:8],
        "signature.jpg": full["JPEG"][:2],
        "signature.gif": b"GIF89a",
        "signature.webp": full["WEBP"][:12],
        "signature.bmp": full["BMP"][:14],
        "damaged.png": flipped(full["PNG"], len(full["PNG"]) // 2),
        "damaged_header.png": flipped(full["PNG"], 18),
        "no_data.png": png(8, 8, end),
        "no_width.png": png(0, 8, chunk(b"IDAT", zlib.compress(b"")), end),
        "short_data.png": png(8, 8, chunk(b"IDAT", zlib.compress(bytes(20))), end),
        "bomb.png": png(60000, 60000, chunk(b"IDAT", zlib.compress(bytes(1000))), end),
        "large.png": png(12000, 12000, chunk(b"IDAT", zlib.compress(bytes(1000))), end),
        "bomb.jpg": with_jpeg_size(full["JPEG"], 65500, 65500),
        "no_scan.jpg": full["JPEG"][: full["JPEG"].index(b"\xff\xda")],
        "lost_directory.tif": b"II*\0" + struct.pack("<I", 1 << 20),
        "script.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n(touched) (w) file closefile\n",
        "document.png": b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\n",
        "drawing.png": b'<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"/>',
        "icon.png": encoded(noise(), "ICO"),
        "portable.png": encoded(noise(), "PPM"),
        "archive.png": zipped(),
        "packed.png": gzip.compress(full["PNG"]),
        "pickled.png": pickle.dumps({"pixels": [1, 2, 3]}),
        "array.png": saved_array(),
        "whole_numbers.tif": encoded(Image.fromarray(np.full((8, 8), 70000, np.int32)), "TIFF"),
        "real_numbers.tif": encoded(Image.fromarray(np.full((8, 8), 0.5, np.float32)), "TIFF"),
    }


BAD_IMAGES = _kinds()


def write_bad_images(folder: Path) -> list[Path]:
    """One file of every kind, and a link to nowhere."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in BAD_IMAGES.items():
        (folder / name).write_bytes(content)
    (folder / "lost.png").symlink_to(folder / "gone.png")
    return sorted([*(folder / name for name in BAD_IMAGES), folder / "lost.png"])
