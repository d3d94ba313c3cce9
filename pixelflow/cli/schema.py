"""``pixelflow schema``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pixelflow.system.terminal import say, tell


def schema(
    out: Annotated[Path | None, typer.Option(help="Write the schema to this file instead of printing it.")] = None,
) -> None:
    """Print the schema of specs. It knows every installed component; editors complete and check specs with it."""
    if out is None:
        tell(*_schema().split("\n"))
        say("Write it to a file with --out FILE to see the line that makes editors use it.")
        return
    write_schema(out)
    tell("Make this the first line of a spec, and editors with a YAML language server use the schema:")
    tell(f"# yaml-language-server: $schema={out.resolve()}")


def write_schema(file: Path) -> None:
    """Write the schema of specs; an earlier one, of other plugins say, is replaced.

    Raises:
        CannotWriteError: the file is there and holds anything else, or the system refuses.
    """
    from pixelflow.system.files import check_free, write_text

    if not _is_schema(file):
        check_free(file)
    write_text(file, _schema() + "\n")


def _schema() -> str:
    """As JSON."""
    import json

    from pixelflow.core.spec import ExperimentSpec

    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps(dialect | ExperimentSpec.model_json_schema(), indent=2)


def _is_schema(file: Path) -> bool:
    """Whether a file is a schema of specs."""
    import json

    from pixelflow.core.spec import ExperimentSpec
    from pixelflow.system.errors import PixelflowError
    from pixelflow.system.files import read_bytes
    from pixelflow.system.records import LARGEST

    try:
        found = json.loads(read_bytes(file, LARGEST)) if file.is_file() else None
    except (PixelflowError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.get("title") == ExperimentSpec.__name__
