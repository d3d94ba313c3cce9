"""Settings of Sphinx; `build.py` calls it on a tree of pages that it has put together."""

import re
import sys
from pathlib import Path

from pixelflow import __version__

sys.path.insert(0, str(Path(__file__).parent))

project = "pixelflow"
author = "the authors of pixelflow"
project_copyright = "the authors of pixelflow, MIT licence"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
root_doc = "index"
html_theme = "furo"
html_title = f"pixelflow {__version__}"
highlight_language = "text"  # of blocks that name none: commands
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
suppress_warnings = ["ref.python"]  # what two modules offer is found in both

myst_heading_anchors = 4
myst_enable_extensions = ["deflist"]
default_role = "literal"
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
toc_object_entries_show_parents = "hide"

_FENCE = re.compile(r"^```(\w+) [\w .]+$", re.MULTILINE)
_SHAPE = re.compile(r"^(\s*(?:[\w, ]+: )?)\((\w)\)")
_FOLDER = re.compile(r"\[([^\]]+)\]\(([^)#:]+)\)")


def _read(app: object, name: str, source: list[str]) -> None:
    """Make of a page what Sphinx takes: fences of one word, and links to files alone."""
    page = Path(str(app.srcdir), name).parent  # type: ignore[attr-defined]

    def link(found: re.Match[str]) -> str:
        is_page = (page / found[2]).is_file()
        return found[0] if is_page else f"`{found[1].strip('`')}`"

    text = source[0].replace("tutorial.ipynb)", "tutorial.md)")
    source[0] = _FOLDER.sub(link, _FENCE.sub(r"```\1", text))


def _shapes(app: object, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """A shape such as (b) at the beginning is no item of a list."""
    lines[:] = [_SHAPE.sub(r"\1\\(\2)", line) for line in lines]


def setup(app: object) -> None:
    app.connect("source-read", _read)  # type: ignore[attr-defined]
    app.connect("autodoc-process-docstring", _shapes, priority=400)  # type: ignore[attr-defined]  # before napoleon
