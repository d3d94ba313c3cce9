"""``pixelflow init``."""

from __future__ import annotations

import difflib
import json
import re
from pathlib import Path
from typing import Annotated

import typer

from pixelflow.cli import completing
from pixelflow.system.errors import CannotWriteError, UsageError
from pixelflow.system.terminal import tell

KINDS = {"digits": "digits", "pictures": "pictures", "captions": "captions", "shapes": "shapes_t2i"}
"""What can be begun -> the shipped spec that is copied."""

SCHEMA = "pixelflow.schema.json"


def init(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="|".join(KINDS),
            help="What to train on: handwritten digits (in four minutes), own pictures, own pictures with captions, or "
            "generated shapes with captions.",
            autocompletion=completing.choices(KINDS),
        ),
    ],
    data: Annotated[Path | None, typer.Option(metavar="FOLDER", help="The folder of own pictures.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="The spec to write; by default KIND.yaml.")] = None,
) -> None:
    """Write a commented spec to start from, with the schema by which editors complete and check it.

    The file's name becomes the run's. Files that are there already are left alone.
    """
    from pixelflow.cli.schema import write_schema
    from pixelflow.core import reading, shipped
    from pixelflow.core.spec import ExperimentSpec
    from pixelflow.system.files import write_text

    source = shipped.specs()[KINDS[_checked(kind)]]
    file = out or Path(f"{kind}.yaml")
    if file.exists():
        raise CannotWriteError(f"{file} is there already; choose another name with --out, or remove it")
    if data is not None and kind not in ("pictures", "captions"):
        raise UsageError(f"--data is for pictures and captions; {kind} brings its own data")
    text = _adapted(source.read_text("utf-8"), file.stem, data)
    spec = reading.validate(ExperimentSpec, reading.parse(text, str(file)))
    write_schema(file.with_name(SCHEMA))
    write_text(file, text)
    root = getattr(spec.data, "root", None)
    first = "" if root is None or root.is_dir() else f"put pictures into {root} and  "
    tell(f"{file}: a spec to edit; next:  {first}pixelflow train {file}")


def _checked(kind: str) -> str:
    if kind not in KINDS:
        near = difflib.get_close_matches(kind, KINDS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise UsageError(f"nothing to begin is called {kind!r}{hint} (there are: {', '.join(KINDS)})")
    return kind


def _adapted(text: str, name: str, data: Path | None) -> str:
    """A shipped spec's text with the line that names its schema, and with its own name and folder."""
    text = _with_value(text, "name", name)
    text = text if data is None else _with_value(text, "  root", str(data))
    return f"# yaml-language-server: $schema={SCHEMA}\n{text}"


def _with_value(text: str, key: str, value: str) -> str:
    """A spec's text with another value of a key that stands once and alone on its line."""
    written = json.dumps(value, ensure_ascii=False)
    return re.sub(rf"^{key}: \S+", lambda _: f"{key}: {written}", text, count=1, flags=re.MULTILINE)
