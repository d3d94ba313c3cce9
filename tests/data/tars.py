"""Tar archives as WebDataset writes them, and as nobody should."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from PIL import Image


def picture(colour="red", size=(20, 12), kind="PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, kind)
    return buffer.getvalue()


def write_tar(path: Path, members, form=tarfile.PAX_FORMAT) -> Path:
    """Write (name, content) pairs; a TarInfo in place of a name is taken as it is, with its own size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=form) as archive:
        for name, content in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            if content is not None:
                info.size = len(content)
            archive.addfile(info, None if content is None else io.BytesIO(content))
    return path


def samples(count: int, start: int = 0, colours=("red", "green", "blue")):
    """Images with captions and labels, one sample after another."""
    for index in range(start, start + count):
        yield f"{index:06d}.png", picture(colours[index % 3])
        yield f"{index:06d}.txt", f"a {colours[index % 3]} wall {index}".encode()
        yield f"{index:06d}.cls", str(index % 3).encode()
