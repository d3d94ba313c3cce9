"""Images on the way from one seed or label to another, as an animation and as a strip."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pixelflow.generation.animation import write_frames
from pixelflow.generation.pictures import grid
from pixelflow.ui.choices import Way
from pixelflow.ui.drawing import UnderWay, Watched
from pixelflow.ui.fields import chosen
from pixelflow.ui.shelf import Shelf
from pixelflow.ui.telling import told_on_the_way

_COLUMNS = 9


def build(given: Sequence[Any], told_line: Any, shelf: Shelf, under_way: UnderWay) -> None:
    """The part's fields and what they do.

    Args:
        given: the fields of the run and of the images; labels and prompts are those of the ends.
    """
    import gradio as gr

    with gr.Row():
        with gr.Column(scale=2, min_width=360):
            with gr.Row():
                seeds = gr.Textbox("0,1", label="Seeds of the ends", elem_id="way-seeds", min_width=120)
                frames = gr.Number(8, precision=0, label="Frames", elem_id="way-frames", min_width=100)
                loop = gr.Checkbox(False, label="and back again", elem_id="way-loop", min_width=100)
            gr.Markdown("Labels and prompts chosen above are those of the ends; one alone stays.")
            draw = gr.Button("Draw the way", elem_id="way-draw")
            command = gr.Textbox(
                label="The same as a command", buttons=["copy"], elem_id="way-command", elem_classes="told",
                interactive=False, lines=2,
            )  # fmt: skip
        with gr.Column(scale=3, min_width=420):
            animation = gr.Image(label="Animation", elem_id="way-animation", type="filepath")
            strip = gr.Image(label="Its frames", elem_id="way-strip", format="png")

    @told_on_the_way(4)
    def drawn(name: str, step: str, weights: str, *values: Any) -> Iterator[object]:
        *fields, ends, between, is_loop = values
        opened = shelf.open(name, step, weights)
        way = Way(chosen(*fields), ends or "", int(between or 0), bool(is_loop))
        for frame in under_way.watch(Watched(opened, way)):
            if frame.result is None:
                yield gr.skip(), gr.skip(), gr.skip(), frame.told
                continue
            images, titles = frame.result.images, frame.result.titles
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder, "way.webp")
                write_frames(file, images, titles)
                line = way.command(shelf.path(name), opened)
                yield str(file), grid(images, titles, min(_COLUMNS, len(images))), line, frame.told

    draw.click(drawn, [*given, seeds, frames, loop], [animation, strip, command, told_line])
