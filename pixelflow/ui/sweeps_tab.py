"""Sweeps: how far they are, two of their points beside each other, and their reports."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path

from PIL import Image

from pixelflow.sweep.points.plan import Plan
from pixelflow.sweep.report import samples
from pixelflow.sweep.report.results import Column, Results, read_results
from pixelflow.sweep.work.tasks import cells_of, tasks_of
from pixelflow.system.errors import UsageError
from pixelflow.system.files import read_bytes
from pixelflow.system.records import LARGEST
from pixelflow.ui.drawing import enlarged
from pixelflow.ui.fields import Blocks, Tab, told_field
from pixelflow.ui.shelf import Shelf
from pixelflow.ui.telling import told

_SHOWN = 64
"""Pixels of the height of a strip of samples."""


def build(blocks: Blocks, tab: Tab, shelf: Shelf) -> None:
    """The tab's fields and what they do."""
    import gradio as gr

    found = _sweeps(shelf.folder)
    with gr.Row():
        sweep = gr.Dropdown(found, value=next(iter(found), None), label="Sweep", elem_id="sweeps-sweep", scale=4)
        show = gr.Button("Show", variant="primary", elem_id="sweeps-show", min_width=80)
    told_line = told_field("sweeps")
    points = gr.Dataframe(
        headers=["#", "point", "state"], label="Points", elem_id="sweeps-points", wrap=True, max_height=300,
        column_widths=["10%", "70%", "20%"],
    )  # fmt: skip
    with gr.Accordion("Two points beside each other", open=False):
        with gr.Row():
            first = gr.Dropdown([], label="First point", elem_id="sweeps-first")
            second = gr.Dropdown([], label="Second point", elem_id="sweeps-second")
            compare = gr.Button("Compare", elem_id="sweeps-compare", min_width=80)
        slider = gr.ImageSlider(
            label="First | second: equal seeds and labels", elem_id="sweeps-slider", format="png", type="pil"
        )
        figures = gr.Dataframe(headers=["", "first", "second"], label="Figures", elem_id="sweeps-figures", wrap=True)
    report = gr.HTML(elem_id="sweeps-report")

    @told(5)
    def shown(name: str) -> tuple[object, ...]:
        plan = _plan(shelf, name)
        tasks = tasks_of(plan, Path(name))
        cells = cells_of(tasks)
        rows = [[str(at), one.label, cells[one.cell].state.value] for at, one in enumerate(plan.points, 1)]
        done = sum(task.is_done for task in tasks)
        names = [(f"#{number} {label}", int(number)) for number, label, _ in rows]
        lists = [gr.update(choices=names, value=at if at <= len(names) else None) for at in (1, 2)]
        return rows, *lists, _framed(Path(name) / "report.html"), f"{done} of {len(tasks)} tasks are done"

    @told(3)
    def compared(name: str, one: int | None, other: int | None) -> tuple[object, ...]:
        if one is None or other is None:
            raise UsageError("choose two points; Show lists those of a sweep")
        results = read_results(_plan(shelf, name), Path(name))
        pair = one - 1, other - 1
        return _strips(results, *pair), beside(results, *pair), f"{results.label(pair[0])} | {results.label(pair[1])}"

    def listed() -> object:
        return gr.update(choices=_sweeps(shelf.folder))

    show.click(shown, sweep, [points, first, second, report, told_line])
    compare.click(compared, [sweep, first, second], [slider, figures, told_line])
    blocks.load(listed, None, sweep, queue=False)
    tab.select(listed, None, sweep, queue=False, show_progress="hidden")


def beside(results: Results, one: int, other: int) -> list[tuple[str, str, str]]:
    """What two points differ in, all that was measured of them and what they cost; by the places of their rows."""
    axes = [column for column in results.axes if column.values[one] != column.values[other]]
    measured = [column for column in (*results.figures, *results.costs) if column.known]
    return [(column.title, _told(column, one), _told(column, other)) for column in (*axes, *measured)]


def _told(column: Column, row: int) -> str:
    spread = column.spread(row)
    return column.text(row) + (f" ({spread})" if spread else "")


def _strips(results: Results, one: int, other: int) -> tuple[Image.Image, Image.Image]:
    """The first samples of two points; raises UsageError where one has none yet."""
    strips = []
    for row in (one, other):
        strip = samples.strip(results.rows[row].images)
        if strip is None:
            raise UsageError(f"point #{row + 1} has no images yet")
        strips.append(enlarged(strip, _SHOWN))
    return strips[0], strips[1]


def _plan(shelf: Shelf, name: str) -> Plan:
    if not name:
        raise UsageError(f"no sweep lies beside {shelf.folder} or in it; pixelflow sweep run makes one")
    return Plan.read(Path(name))


def _sweeps(folder: Path) -> list[str]:
    """Folders of sweeps in the folder of runs, and in ``sweeps`` beside it."""
    places = [*folder.glob("*/sweep.json"), *(folder.resolve().parent / "sweeps").glob("*/sweep.json")]
    return [str(place.parent) for place in sorted(places)]


def _framed(report: Path) -> str:
    """The report without its script, which sorts the table, shut in a frame that would run none."""
    if not report.is_file():
        return "<p>no report yet: pixelflow sweep report</p>"
    text = re.sub(r"<script.*?</script>", "", read_bytes(report, LARGEST).decode("utf-8", "replace"), flags=re.S)
    page = escape(text, quote=True)
    return f'<iframe sandbox="" srcdoc="{page}" style="width: 100%; height: 800px; border: 0"></iframe>'
