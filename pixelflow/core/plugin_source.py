"""A hash of the source that a plugin's modules were imported from.

The version of a distribution does not change while its author works on it, and an editable install has no other mark.
So the files themselves are told apart, whichever way they came here.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

SUFFIXES = (
    ".py", ".pyx", ".so", ".pyd", ".c", ".cc", ".cpp", ".cu", ".cuh", ".h", ".json", ".yaml", ".yml", ".toml"
)  # fmt: skip
"""What counts as source. Of pictures, weights and the like data sets and extractors have their own fingerprints."""


def source_sha256(modules: Iterable[str], beside: Iterable[str] = ()) -> str | None:
    """The hash of the packages that hold these imported modules; None where they have no files (in a zip, say).

    Args:
        beside: further modules that count where they are imported, and from the same place as one of the others.
    """
    digest, is_empty = hashlib.sha256(), True
    roots = {root for module in modules for root in _roots(module)}
    places = {root.parent for root in roots}
    roots |= {root for module in beside for root in _roots(module) if root.parent in places}
    for root in sorted(roots):
        for name, file in _files(root):
            with suppress(OSError):  # a broken link, or a file that went away
                content = file.read_bytes()
                digest.update(f"{name} {len(content)}\n".encode("utf-8", "surrogateescape"))
                digest.update(content)
                is_empty = False
    return None if is_empty else digest.hexdigest()


def top_levels(distribution: metadata.Distribution) -> list[str]:
    """The modules and packages that a distribution brings, as far as its metadata tell."""
    told = distribution.read_text("top_level.txt")
    if told is not None:
        return told.split()
    files = [Path(str(file)) for file in distribution.files or ()]
    return sorted({file.parts[0].removesuffix(".py") for file in files if file.suffix == ".py"})


def state_of(distribution: metadata.Distribution) -> str:
    """Changes when the files of a distribution may have, had without an import.

    In an editable install these lie where its sources are, and change under one version.
    """
    told = hashlib.sha256((distribution.read_text("RECORD") or "").encode())
    root = _editable_root(distribution)
    for name, file in [] if root is None else _files(root):
        with suppress(OSError):
            told.update(f"{name} {file.stat().st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    return told.hexdigest()[:16]


def _editable_root(distribution: metadata.Distribution) -> Path | None:
    """Where the sources of an editable install lie; None for any other."""
    try:
        told = json.loads(distribution.read_text("direct_url.json") or "{}")
        is_editable, url = told.get("dir_info", {}).get("editable"), urlparse(str(told.get("url", "")))
    except (ValueError, AttributeError):
        return None
    return Path(url2pathname(url.path)) if is_editable and url.scheme == "file" else None


def _roots(module: str) -> Iterator[Path]:
    """Folders of the outermost package around a module that is no namespace, or the file of a lone module."""
    parts = module.split(".")
    for length in range(1, len(parts) + 1):
        found = sys.modules.get(".".join(parts[:length]))
        file = getattr(found, "__file__", None)
        if file is not None:
            folders = getattr(found, "__path__", None)
            yield from map(Path, folders) if folders is not None else [Path(file)]
            return


def _files(root: Path) -> Iterator[tuple[str, Path]]:
    """Name relative to the root, and place, of every file of source, in one order everywhere."""
    if root.is_file():
        yield root.name, root
        return
    for folder, below, names in os.walk(root):
        below[:] = sorted(name for name in below if not name.startswith(".") and name != "__pycache__")
        for name in sorted(names):
            if name.endswith(SUFFIXES) and not name.startswith("."):
                file = Path(folder, name)
                yield file.relative_to(root).as_posix(), file
