"""Two runs, checkpoints or weights on equal seeds: a slider between pictures, their difference, their evaluations."""

from __future__ import annotations

from typing import Any

from pixelflow.evaluation import contrast
from pixelflow.generation.pictures import grid
from pixelflow.runs.runfolder import RunFolder
from pixelflow.system.errors import UsageError
from pixelflow.ui.drawing import difference
from pixelflow.ui.fields import Blocks, chosen, image_fields, run_fields
from pixelflow.ui.shelf import Shelf
from pixelflow.ui.telling import told


def build(blocks: Blocks, shelf: Shelf) -> None:
    """The tab's fields and what they do."""
    import gradio as gr

    first = run_fields(blocks, shelf, "first", "First run")
    second = run_fields(blocks, shelf, "second", "Second run")
    fields = image_fields(blocks, shelf, first[0], "compare")
    draw = gr.Button("Draw both", variant="primary", elem_id="compare-draw")
    told_line = gr.Textbox(show_label=False, elem_id="compare-told", elem_classes="told", interactive=False)
    slider = gr.ImageSlider(label="First, second", elem_id="compare-slider", format="png", type="pil")
    changed = gr.Image(label="Half their difference", elem_id="compare-difference", format="png")
    figures = gr.Dataframe(headers=["", "first", "second"], label="Evaluations", elem_id="compare-figures")
    settings = gr.Dataframe(headers=["setting", "first", "second"], label="Settings", elem_id="compare-settings")

    @told(5)
    def both(*given: Any) -> tuple[object, ...]:
        one, other, values = given[:3], given[3:6], given[6:]
        choices = chosen(*values)
        ours = choices.drawing(shelf.open(*one)).draw()
        theirs = choices.drawing(shelf.open(*other)).draw()
        if ours.images.shape != theirs.images.shape:
            raise UsageError("the two runs draw images of other sizes or channels; choose a size that both have")
        pictures = grid(ours.images, ours.titles), grid(theirs.images, theirs.titles)
        apart = (ours.images - theirs.images).square().mean().sqrt()
        spent = f"{sum(ours.nfe):g} and {sum(theirs.nfe):g} NFE an image"
        folders = RunFolder(shelf.path(one[0])), RunFolder(shelf.path(other[0]))
        return (
            pictures,
            grid(difference(ours.images, theirs.images), ours.titles),
            contrast.evaluations(*folders),
            contrast.settings(*folders),
            f"root mean square difference {apart:.4f}; {spent}",
        )

    draw.click(both, [*first, *second, *fields], [slider, changed, figures, settings, told_line])
