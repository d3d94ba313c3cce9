"""A notebook as a page: its text, its code and the pictures that it drew."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def write(notebook: Path) -> None:
    """Write the page beside the notebook, and its pictures into a folder of its name."""
    cells = json.loads(notebook.read_text())["cells"]
    text = [f"{{download}}`This page as a notebook <{notebook.name}>`"]
    for number, cell in enumerate(cells):
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            text.insert(len(text) if number else 0, source)
        else:
            text += [f"```python\n{source}\n```", *_shown(cell["outputs"], notebook.with_suffix(""), number)]
    notebook.with_suffix(".md").write_text("\n\n".join(text) + "\n")


def _shown(outputs: list[dict[str, Any]], folder: Path, number: int) -> Iterator[str]:
    """Each output in the first of the forms that it has: picture, table, text."""
    for place, output in enumerate(outputs):
        data = output.get("data", {})
        if "image/png" in data:
            folder.mkdir(exist_ok=True)
            picture = folder / f"{number}-{place}.png"
            picture.write_bytes(base64.b64decode(data["image/png"]))
            yield f"![What the cell shows]({folder.name}/{picture.name})"
        elif "text/html" in data:
            yield "".join(data["text/html"])
        else:
            yield f"```text\n{''.join(output.get('text') or data['text/plain']).rstrip()}\n```"
