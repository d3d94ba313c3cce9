"""Images made from an image: variations, image to image, inpainting where a mask is painted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from pixelflow.data.framing import ground_of
from pixelflow.generation.editing import Edit
from pixelflow.generation.run import Run
from pixelflow.system.decoding import on_ground
from pixelflow.system.errors import UsageError
from pixelflow.ui import way_part
from pixelflow.ui.drawing import UnderWay, Watched, enlarged, titled
from pixelflow.ui.fields import Blocks, Tab, chosen, image_fields, run_fields, told_field
from pixelflow.ui.shelf import Shelf
from pixelflow.ui.telling import told, told_on_the_way

_SHOWN = 256
"""Pixels of the shorter side of an image that is painted on."""


def build(blocks: Blocks, tab: Tab, shelf: Shelf) -> None:
    """The tab's fields and what they do."""
    import gradio as gr

    with gr.Row():
        with gr.Column(scale=2, min_width=360):
            run = run_fields(blocks, tab, shelf, "edit")
            fields = image_fields(blocks, shelf, run[0], "edit")
            with gr.Row():
                stage = gr.Number(
                    0, precision=0, label="It enters stage", info="0 is the coarsest", elem_id="edit-stage",
                    min_width=100,
                )  # fmt: skip
                strength = gr.Slider(
                    0.05, 1, 0.6, step=0.05, label="Share of it drawn anew", elem_id="edit-strength", scale=2,
                    min_width=180,
                )  # fmt: skip
            with gr.Row():
                take = gr.Button("Draw one", elem_id="edit-take", min_width=120)
                draw = gr.Button("Edit", variant="primary", elem_id="edit-draw", min_width=80)
                stop = gr.Button("Stop", elem_id="edit-stop", min_width=80)
            told_line = told_field("edit")
        with gr.Column(scale=3, min_width=420):
            source = gr.ImageEditor(
                label="Paint what is to be drawn anew",
                type="pil", image_mode="RGBA", elem_id="edit-image", layers=False, transforms=(), height=400,
                brush=gr.Brush(colors=["#ff0000"], color_mode="fixed"),
            )  # fmt: skip
            made = gr.Gallery(
                label="What becomes of it", elem_id="edit-made", format="png", columns=4, height="auto",
                object_fit="contain",
            )  # fmt: skip
    under_way = UnderWay()
    with gr.Accordion("Between images: from seed to seed, or label to label", open=False):
        way_part.build([*run, *fields], told_line, shelf, under_way)

    @told(2)
    def taken(name: str, step: str, weights: str, *values: Any) -> tuple[object, str]:
        opened, choices = shelf.open(name, step, weights), replace(chosen(*values), count=1)
        (picture,) = choices.drawing(opened).draw().pictures()
        return enlarged(picture, _SHOWN), "an image of the run itself"

    @told_on_the_way(2)
    def edited(name: str, step: str, weights: str, *values: Any) -> Iterator[object]:
        *given, painted, number, share = values
        opened = shelf.open(name, step, weights)
        image, mask = fitted(painted, opened)
        edit = Edit(image, None if number is None else int(number), float(share), mask)
        for frame in under_way.watch(Watched(opened, chosen(*given), edit=edit)):
            shown = gr.skip() if frame.result is None else titled(frame.result)
            yield shown, frame.told

    take.click(taken, [*run, *fields], [source, told_line])
    draw.click(edited, [*run, *fields, source, stage, strength], [made, told_line])
    stop.click(under_way.stop, queue=False)


def fitted(painted: Mapping[str, Any] | None, run: Run) -> tuple[Tensor, Tensor | None]:
    """What was given and painted, as an image (c h w) in [-1, 1] and a mask (h w) of the run's size, cut to its shape.

    Args:
        painted: ``background``, a picture, and ``layers``, whose opaque places are the mask; where nothing is painted
            there is no mask.

    Raises:
        UsageError: there is no image.
    """
    if not painted or painted.get("background") is None:
        raise UsageError("there is no image to edit; drop one here, or draw one")
    height, width = run.spec.image.size
    mode = "L" if run.spec.image.channels == 1 else "RGB"
    opaque = on_ground(painted["background"], ground_of(run.spec.data)).convert(mode)
    picture = ImageOps.fit(opaque, (width, height), Image.Resampling.BOX)
    values = torch.from_numpy(np.array(picture)).reshape(height, width, -1).permute(2, 0, 1) / 127.5 - 1
    strokes = [
        ImageOps.fit(layer.getchannel("A"), (width, height), Image.Resampling.BOX) for layer in painted["layers"]
    ]
    masks = [torch.from_numpy(np.array(stroke)) > 127 for stroke in strokes]
    mask = torch.stack(masks).any(0).float() if masks else torch.zeros(height, width)
    return values, mask if mask.any() else None
