"""Fields that several tabs have."""

from __future__ import annotations

from typing import Any, Protocol

from pixelflow.core.registry import registry
from pixelflow.system.errors import PixelflowError
from pixelflow.ui.choices import Choices
from pixelflow.ui.shelf import NEWEST, Shelf


class Blocks(Protocol):
    """The page as gradio holds it."""

    def load(self, *given: object, **how: object) -> Any:
        """Do something whenever it is opened."""

    def launch(self, **how: object) -> tuple[object, str, str]:
        """Serve it; returns the server and its addresses here and elsewhere."""

    def block_thread(self) -> None:
        """Serve it until the process ends."""


def names_of(kind: str) -> list[str]:
    """Of all components of a kind, behind an empty one: as the run's spec has it."""
    from pixelflow.core import plugins

    plugins.load()
    return ["", *registry.of_kind(kind)]


def run_fields(blocks: Blocks, shelf: Shelf, tab: str, title: str = "Run") -> tuple[Any, Any, Any]:
    """Run, checkpoint and weights; the checkpoints follow the run, and the runs follow the folder."""
    import gradio as gr

    names = shelf.names()
    first = names[0] if names else None
    with gr.Row():
        run = gr.Dropdown(names, value=first, label=title, elem_id=f"{tab}-run")
        step = gr.Dropdown([NEWEST], value=NEWEST, label="Checkpoint", elem_id=f"{tab}-step")
        weights = gr.Radio(["ema", "raw"], value="ema", label="Weights", elem_id=f"{tab}-weights")

    def checkpoints(name: str | None) -> object:
        try:
            return gr.update(choices=shelf.checkpoints(name), value=NEWEST)
        except PixelflowError:
            return gr.update(choices=[NEWEST], value=NEWEST)

    def listed(chosen: str | None) -> object:
        there = shelf.names()  # what is chosen meanwhile stays
        return gr.update(choices=there, **({} if chosen in there else {"value": next(iter(there), None)}))

    run.change(checkpoints, run, step, queue=False, show_progress="hidden")
    blocks.load(listed, run, run, queue=False).then(checkpoints, run, step, queue=False)
    return run, step, weights


def image_fields(blocks: Blocks, shelf: Shelf, run: Any, tab: str) -> list[object]:
    """What to draw and how, in the order of `chosen`; labels follow the run."""
    import gradio as gr

    with gr.Row():
        labels = gr.Dropdown([], multiselect=True, label="Labels (none: all)", elem_id=f"{tab}-labels")
        prompt = gr.Textbox(label="Prompt, one a line", lines=2, elem_id=f"{tab}-prompt", visible=False)
        negative = gr.Textbox(label="Negative", lines=2, elem_id=f"{tab}-negative", visible=False)
    with gr.Row():
        seed = gr.Number(0, precision=0, label="Seed", elem_id=f"{tab}-seed", min_width=80)
        count = gr.Number(4, precision=0, label="Images", elem_id=f"{tab}-count", min_width=80)
        steps = gr.Textbox(label="Steps, for each stage", placeholder="as in the spec", elem_id=f"{tab}-steps")
        guidance = gr.Textbox(label="Guidance, for each stage", placeholder="as in the spec", elem_id=f"{tab}-guidance")
    with gr.Row():
        sampler = gr.Dropdown(
            names_of("sampler"), value="", label="Sampler", elem_id=f"{tab}-sampler", allow_custom_value=True
        )
        grid = gr.Dropdown(
            names_of("grid"), value="", label="Time grid", elem_id=f"{tab}-grid", allow_custom_value=True
        )
        size = gr.Textbox(label="Size", placeholder="width x height", elem_id=f"{tab}-size")

    def fitting(name: str | None) -> tuple[object, object, object]:
        try:
            opened = shelf.open(name)
        except PixelflowError:
            return gr.update(choices=[], value=[]), gr.update(visible=False), gr.update(visible=False)
        named = [opened.classes[label] if label < len(opened.classes) else str(label) for label in opened.labels]
        reads = "caption" in opened.reads
        return (
            gr.update(choices=named, value=[], visible=bool(named)),
            gr.update(visible=reads),
            gr.update(visible=reads),
        )

    run.change(fitting, run, [labels, prompt, negative], queue=False, show_progress="hidden")
    blocks.load(fitting, run, [labels, prompt, negative], queue=False)
    return [labels, prompt, negative, seed, count, steps, guidance, sampler, grid, size]


def chosen(labels: list[str], prompt: str, negative: str, seed: float, count: float, *rest: str | None) -> Choices:
    """The values of `image_fields`."""
    named = dict(zip(("steps", "guidance", "sampler", "grid", "size"), (text or "" for text in rest), strict=True))
    return Choices(tuple(labels or ()), prompt or "", negative or "", int(seed or 0), int(count or 0), **named)
