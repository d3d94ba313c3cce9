"""Sweeps: how far they are, and their reports."""

from __future__ import annotations

from html import escape
from pathlib import Path

from pixelflow.sweep.points.plan import Plan
from pixelflow.sweep.work.tasks import cells_of, tasks_of
from pixelflow.system.errors import UsageError
from pixelflow.system.files import read_bytes
from pixelflow.system.records import LARGEST
from pixelflow.ui.fields import Blocks
from pixelflow.ui.shelf import Shelf
from pixelflow.ui.telling import told


def build(blocks: Blocks, shelf: Shelf) -> None:
    """The tab's fields and what they do."""
    import gradio as gr

    found = _sweeps(shelf.folder)
    with gr.Row():
        sweep = gr.Dropdown(found, value=next(iter(found), None), label="Sweep", elem_id="sweeps-sweep")
        show = gr.Button("Show", elem_id="sweeps-show")
    told_line = gr.Textbox(show_label=False, elem_id="sweeps-told", elem_classes="told", interactive=False)
    points = gr.Dataframe(headers=["point", "state"], label="Points", elem_id="sweeps-points")
    report = gr.HTML(elem_id="sweeps-report")

    @told(3)
    def shown(name: str) -> tuple[object, ...]:
        if not name:
            raise UsageError(f"no sweep lies beside {shelf.folder} or in it; pixelflow sweep run makes one")
        folder = Path(name)
        plan = Plan.read(folder)
        tasks = tasks_of(plan, folder)
        cells = cells_of(tasks)
        rows = [[point.label, cells[point.cell].state.value] for point in plan.points]
        done = sum(task.is_done for task in tasks)
        return rows, _framed(folder / "report.html"), f"{done} of {len(tasks)} tasks are done"

    show.click(shown, sweep, [points, report, told_line])
    blocks.load(lambda: gr.update(choices=_sweeps(shelf.folder)), None, sweep, queue=False)


def _sweeps(folder: Path) -> list[str]:
    """Folders of sweeps in the folder of runs, and in ``sweeps`` beside it."""
    places = [*folder.glob("*/sweep.json"), *(folder.resolve().parent / "sweeps").glob("*/sweep.json")]
    return [str(place.parent) for place in sorted(places)]


def _framed(report: Path) -> str:
    """The report, shut in a frame that runs none of its scripts."""
    if not report.is_file():
        return "<p>no report yet: pixelflow sweep report</p>"
    page = escape(read_bytes(report, LARGEST).decode("utf-8", "replace"), quote=True)
    return f'<iframe sandbox="" srcdoc="{page}" style="width: 100%; height: 800px; border: 0"></iframe>'
