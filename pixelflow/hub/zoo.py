"""``zoo:NAME``: small models that an installed package brings along, each a file of ``export-weights`` with a card.

A package names each of its models as an entry point of the group ``pixelflow.zoo``, whose value is the package that
holds ``NAME.safetensors`` and ``NAME.md``. Nothing of it is run: the files are found beside its ``__init__.py``.
"""

from __future__ import annotations

import re
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from pixelflow.system.errors import MissingInputError, UsageError

GROUP = "pixelflow.zoo"
_ADDRESS = re.compile(r"zoo:([\w.-]+)")
_INSTALL = "pip install ./plugins/pixelflow-zoo"


def names() -> list[str]:
    """The models that installed packages bring."""
    return sorted({entry.name for entry in metadata.entry_points(group=GROUP)})


def zoo_file(address: str) -> Path:
    """The file of weights; its card lies beside it.

    Raises:
        UsageError: it is no address.
        MissingInputError: no installed package brings such a model, or the package lacks the file.
    """
    wanted = _ADDRESS.fullmatch(address)
    if wanted is None:
        raise UsageError(f"{address}: is no model of the zoo, which has the form zoo:NAME{_there_are()}")
    name = wanted[1]
    found = [entry for entry in metadata.entry_points(group=GROUP) if entry.name == name]
    if not found:
        hint = "" if names() else f"; the toolkit's own are brought by {_INSTALL}, in a copy of the repository"
        raise MissingInputError(f"{address}: no installed package brings it{_there_are()}{hint}")
    spec = find_spec(found[0].module)
    file = Path(spec.origin).with_name(f"{name}.safetensors") if spec is not None and spec.origin else None
    if file is None or not file.is_file():
        raise MissingInputError(
            f"{address}: the package {found[0].module} names it and does not hold it; install it anew"
        )
    return file


def _there_are() -> str:
    return f" (there are: {', '.join(names())})" if names() else ""
