"""Two runs, checkpoints or weights on equal seeds: a slider between pictures, their difference, their evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PIL.Image import Image
from torch import Tensor

from pixelflow.evaluation import contrast
from pixelflow.generation.pictures import CAPTION_CELL, grid
from pixelflow.runs.runfolder import RunFolder
from pixelflow.system.errors import UsageError
from pixelflow.ui.drawing import difference
from pixelflow.ui.fields import Blocks, Tab, chosen, image_fields, run_fields, told_field
from pixelflow.ui.shelf import Shelf
from pixelflow.ui.telling import told

_WIDTHS = ["50%", "25%", "25%"]


def build(blocks: Blocks, tab: Tab, shelf: Shelf) -> None:
    """The tab's fields and what they do."""
    import gradio as gr

    with gr.Row():
        with gr.Column(scale=2, min_width=360):
            first = run_fields(blocks, tab, shelf, "first", "First run")
            second = run_fields(blocks, tab, shelf, "second", "Second run")
            fields = image_fields(blocks, shelf, first[0], "compare")
            draw = gr.Button("Draw both", variant="primary", elem_id="compare-draw")
            told_line = told_field("compare")
        with gr.Column(scale=3, min_width=420):
            slider = gr.ImageSlider(
                label="First | second", elem_id="compare-slider", format="png", type="pil", max_height=420
            )
            changed = gr.Image(label="Half their difference", elem_id="compare-difference", format="png")
    with gr.Row():
        figures = gr.Dataframe(
            headers=["figure", "first", "second"],
            label="Evaluations",
            elem_id="compare-figures",
            wrap=True,
            column_widths=_WIDTHS,
        )
        settings = gr.Dataframe(
            headers=["setting", "first", "second"],
            label="Settings",
            elem_id="compare-settings",
            wrap=True,
            column_widths=_WIDTHS,
        )

    @told(5)
    def both(*given: Any) -> tuple[object, ...]:
        one, other, values = given[:3], given[3:6], given[6:]
        choices = chosen(*values)
        ours = choices.drawing(shelf.open(*one)).draw()
        theirs = choices.drawing(shelf.open(*other)).draw()
        if ours.images.shape != theirs.images.shape:
            raise UsageError("the two runs draw images of other sizes or channels; choose a size that both have")
        pictures = _shown(ours.images, ours.titles), _shown(theirs.images, theirs.titles)
        apart = (ours.images - theirs.images).square().mean().sqrt()
        spent = f"{sum(ours.nfe):g} and {sum(theirs.nfe):g} NFE an image"
        folders = RunFolder(shelf.path(one[0])), RunFolder(shelf.path(other[0]))
        return (
            pictures,
            _shown(difference(ours.images, theirs.images), ours.titles),
            contrast.evaluations(*folders),
            contrast.settings(*folders),
            f"root mean square difference {apart:.4f}; {spent}",
        )

    draw.click(both, [*first, *second, *fields], [slider, changed, figures, settings, told_line])


def _shown(images: Tensor, titles: Sequence[str]) -> Image:
    return grid(images, titles, cell=CAPTION_CELL)
