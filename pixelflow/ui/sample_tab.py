"""Drawing from a run, seen while it goes on; grids over two settings; the same as command, Python and record."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pixelflow.ui.choices import SETTINGS
from pixelflow.ui.curves import guidance_curve
from pixelflow.ui.drawing import UnderWay, Watched, titled, varied_grid
from pixelflow.ui.fields import Blocks, Tab, chosen, image_fields, run_fields, told_field
from pixelflow.ui.shelf import Shelf
from pixelflow.ui.telling import told, told_on_the_way


def build(blocks: Blocks, tab: Tab, shelf: Shelf) -> None:
    """The tab's fields and what they do."""
    import gradio as gr

    with gr.Row():
        with gr.Column(scale=2, min_width=360):
            run = run_fields(blocks, tab, shelf, "sample")
            fields = image_fields(blocks, shelf, run[0], "sample")
            with gr.Row():
                draw = gr.Button("Draw", variant="primary", elem_id="sample-draw", min_width=80)
                stop = gr.Button("Stop", elem_id="sample-stop", min_width=80)
            told_line = told_field("sample")
        with gr.Column(scale=3, min_width=420):
            strip = gr.Image(label="States, and the clean images they head for", elem_id="sample-strip", format="png")
            gallery = gr.Gallery(
                label="Images", elem_id="sample-gallery", format="png", columns=4, height="auto", object_fit="contain"
            )
    with gr.Accordion("Keep this seed, vary that", open=False):
        with gr.Row():
            across = gr.Dropdown(list(SETTINGS), value="guidance", label="Columns", elem_id="vary-across")
            across_values = gr.Textbox("1; 2; 4", label="Values, between semicolons", elem_id="vary-across-values")
            down = gr.Dropdown(list(SETTINGS), value="steps", label="Rows", elem_id="vary-down")
            down_values = gr.Textbox("2; 8", label="Values; none for a single row", elem_id="vary-down-values")
        vary = gr.Button("Draw the grid", elem_id="vary-draw")
        varied = gr.Image(show_label=False, elem_id="vary-grid", format="png")
    with gr.Accordion("Guidance over time", open=False) as curves:
        curve = gr.Image(show_label=False, elem_id="sample-curve", format="png")
    with gr.Accordion("Copy as", open=False) as copy:
        command, python, record = (
            gr.Textbox(label=label, lines=lines, buttons=["copy"], elem_id=f"copy-{name}", elem_classes="told")
            for label, lines, name in (
                ("Command", 1, "command"),
                ("Python", 4, "python"),
                ("samples.json", 6, "record"),
            )
        )

    under_way = UnderWay()

    @told_on_the_way(3)
    def drawn(name: str, step: str, weights: str, *values: Any) -> Iterator[object]:
        opened = shelf.open(name, step, weights)
        for frame in under_way.watch(Watched(opened, chosen(*values))):
            pictures = gr.skip() if frame.result is None else titled(frame.result)
            yield gr.skip() if frame.strip is None else frame.strip, pictures, frame.told

    @told_on_the_way(2)
    def grids(name: str, step: str, weights: str, *values: Any) -> Iterator[object]:
        *fields_given, one, ones, other, others = values
        opened = shelf.open(name, step, weights)
        yield from varied_grid(opened, chosen(*fields_given), (one, _values(ones)), (other, _values(others)))

    @told(4)
    def copied(name: str, step: str, weights: str, *values: Any) -> tuple[object, ...]:
        opened, choices = shelf.open(name, step, weights), chosen(*values)
        path = shelf.path(name)
        return choices.command(path, opened), choices.python(path, opened), choices.record(opened), gr.skip()

    @told(2)
    def curved(name: str, step: str, weights: str, *values: Any) -> tuple[object, str]:
        opened, choices = shelf.open(name, step, weights), chosen(*values)
        return guidance_curve(opened, choices.drawing(opened).sampling), gr.skip()

    everything = [*run, *fields]
    copies, curve_of = [command, python, record, told_line], [curve, told_line]
    draw.click(drawn, everything, [strip, gallery, told_line])
    copy.expand(copied, everything, copies)
    curves.expand(curved, everything, curve_of)
    stop.click(under_way.stop, queue=False)
    vary.click(grids, [*everything, across, across_values, down, down_values], [varied, told_line])


def _values(text: str) -> list[str]:
    return [value.strip() for value in text.split(";") if value.strip()]
