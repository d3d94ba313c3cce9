"""The part of this package that draws, copied so that it can be imported beside any other version of it."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from pixelflow.core import kinds
from pixelflow.core.version import __version__

_ROOT = Path(__file__).parents[1]
_IMPORT = re.compile(r"^(\s*from )pixelflow\.", re.MULTILINE)
_HEAD = '"""The code of pixelflow {version} that draws images, as the toolkit has it; imports are relative here."""\n'


def drawing_code() -> dict[str, str]:
    """Path below a package -> content of all its files: the rooms below `pixelflow.generation`, and that itself."""
    rooms = ["system", "core", *(room.rpartition(".")[2] for room in kinds.rooms()), "runs", "generation"]
    files = {"__init__.py": _HEAD.format(version=__version__)}
    for room in rooms:
        for file in sorted((_ROOT / room).rglob("*.py")):
            place = file.relative_to(_ROOT)
            dots = "." * len(place.parts)
            files[place.as_posix()] = _IMPORT.sub(rf"\1{dots}", file.read_text("utf-8"))
    return files


def package_name(files: dict[str, str]) -> str:
    """A name that no other code is imported by."""
    whole = hashlib.sha256("".join(f"{place}\n{text}\n" for place, text in sorted(files.items())).encode())
    return f"pixelflow_{whole.hexdigest()[:16]}"
