"""One small style for all plots, and figures as bytes that depend on nothing but what is drawn."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # importing matplotlib takes a while
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0b6e99", "#d9730d", "#448361", "#9065b0", "#c14c8a", "#64473a", "#cb912f", "#787774")
INK, QUIET = "#37352f", "#9b9a97"
LOGARITHMIC = 12.0
"""Axes whose largest value is so many times the smallest are logarithmic."""

_STYLE: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": QUIET,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": "medium",
    "grid.color": "#ebeae8",
    "legend.fontsize": "small",
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text: small, and found by a search of the page
    "svg.hashsalt": "pixelflow",  # else names within the file are random
    "text.color": INK,
    "text.parse_math": False,  # a run may be called a$b$
    "xtick.color": INK,
    "ytick.color": INK,
}
_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


@contextmanager
def drawing(width: float, height: float, dpi: float = 100) -> Iterator[tuple[Figure, Axes]]:
    """A figure in the style, of a size in inches, with axes to draw on; made into bytes within."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of letters that the font lacks
        figure = Figure(figsize=(width, height), dpi=dpi, layout="constrained")
        axes = figure.add_subplot()
        axes.set_prop_cycle(color=COLOURS)
        yield figure, axes


def png(figure: Figure) -> bytes:
    """The figure as a PNG file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)  # `savefig` would lay it out and draw it twice, to the same bytes
    return buffer.getvalue()


def svg(figure: Figure) -> str:
    """The figure as an ``<svg>`` element, which can stand in a page or in a file of its own."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    buffer = io.StringIO()
    FigureCanvasSVG(figure).print_svg(buffer, metadata=_NO_METADATA)
    text = buffer.getvalue()
    return text[text.index("<svg") :].rstrip()


def is_wide(values: list[float]) -> bool:
    """Whether an axis of these values is to be logarithmic."""
    return bool(values) and min(values) > 0 and max(values) / min(values) >= LOGARITHMIC
