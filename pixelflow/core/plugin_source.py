"""A hash of the source that a plugin's modules were imported from.

The version of a distribution does not change while its author works on it, and an editable install has no other mark.
So the files themselves are told apart, whichever way they came here.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

SUFFIXES = (
    ".py", ".pyx", ".so", ".pyd", ".c", ".cc", ".cpp", ".cu", ".cuh", ".h", ".json", ".yaml", ".yml", ".toml"
)  # fmt: skip
"""What counts as source. Of pictures, weights and the like data sets and extractors have their own fingerprints."""


def source_sha256(modules: Iterable[str]) -> str | None:
    """The hash of the packages that hold these imported modules; None where they have no files (in a zip, say)."""
    digest, is_empty = hashlib.sha256(), True
    for root in sorted({root for module in modules for root in _roots(module)}):
        for name, file in _files(root):
            with suppress(OSError):  # a broken link, or a file that went away
                content = file.read_bytes()
                digest.update(f"{name} {len(content)}\n".encode("utf-8", "surrogateescape"))
                digest.update(content)
                is_empty = False
    return None if is_empty else digest.hexdigest()


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
