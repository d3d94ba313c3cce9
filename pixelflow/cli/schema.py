"""``pixelflow schema``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pixelflow.core.terminal import say, tell


def schema(
    out: Annotated[Path | None, typer.Option(help="Write the schema to this file instead of printing it.")] = None,
) -> None:
    """Print the schema of specs. It knows every installed component; editors complete and check specs with it."""
    from pixelflow.core.files import write_text

    text = schema_text()
    if out is None:
        tell(*text.split("\n"))
        say("Write it to a file with --out FILE to see the line that makes editors use it.")
        return
    write_text(out, text + "\n")
    tell("Make this the first line of a spec, and editors with a YAML language server use the schema:")
    tell(f"# yaml-language-server: $schema={out.resolve()}")


def schema_text() -> str:
    """The schema of specs as JSON."""
    import json

    from pixelflow.core.spec import ExperimentSpec

    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps(dialect | ExperimentSpec.model_json_schema(), indent=2)
