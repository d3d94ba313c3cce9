"""The name under which this package is installed, which is not the one by which it is imported."""

from __future__ import annotations

from importlib import metadata

DISTRIBUTION = "pixelflow-toolkit"
"""On PyPI ``pixelflow`` is another project, with a top-level package of the same name."""

_FOREIGN = "pixelflow"
_OWN_COMMAND = "pixelflow.cli.app:main"


def install(extras: str) -> str:
    """The command that brings some optional parts: ``pip install 'pixelflow-toolkit[t5]'``."""
    return f"pip install '{DISTRIBUTION}[{extras}]'"


def foreign() -> str | None:
    """What to say where the other project is installed, whose files lie among ours; None where it is not."""
    try:
        other = metadata.distribution(_FOREIGN)
    except metadata.PackageNotFoundError:
        return None
    if any(entry.value == _OWN_COMMAND for entry in other.entry_points):
        return None  # this toolkit, installed before it had a name of its own
    return (
        f"{_FOREIGN} {other.version} is installed, another project whose package has the same name and whose files "
        f"replace ours: pip uninstall -y {_FOREIGN}  and  pip install --force-reinstall --no-deps {DISTRIBUTION}"
    )
