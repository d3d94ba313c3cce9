"""The specs that come with the package, found by their names."""

from __future__ import annotations

from importlib import resources
from pathlib import Path


def folder() -> Path:
    """Where they lie: inside the installed package, or beside it in its sources."""
    package = Path(str(resources.files("pixelflow")))
    inside = package / "specs"
    return inside if inside.is_dir() else package.parent / "specs"


def specs() -> dict[str, Path]:
    """Name -> file of every spec and sweep; their names are those of the files, without folder and ending."""
    return {path.stem: path for path in sorted(folder().rglob("*.yaml"))}


def found(path: Path) -> Path:
    """The file that a command's SPEC means: what lies there, else the shipped spec of this name, else the path."""
    return path if path.exists() or path.name != str(path) else specs().get(path.name, path)
