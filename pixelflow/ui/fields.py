"""Fields that several tabs have."""

from __future__ import annotations

from typing import Any, Protocol

from pixelflow.core.registry import registry
from pixelflow.core.spec import ExperimentSpec
from pixelflow.sweep.points.plan import shown
from pixelflow.system.errors import PixelflowError
from pixelflow.ui.choices import Choices
from pixelflow.ui.shelf import NEWEST, WEIGHTS, Shelf


class Tab(Protocol):
    """A tab as gradio holds it."""

    def select(self, *given: object, **how: object) -> Any:
        """Do something whenever it is turned to."""


class Blocks(Protocol):
    """The page as gradio holds it."""

    def load(self, *given: object, **how: object) -> Any:
        """Do something whenever it is opened."""

    def launch(self, **how: object) -> tuple[object, str, str]:
        """Serve it; returns the server and its addresses here and elsewhere."""

    def block_thread(self) -> None:
        """Serve it until the process ends."""


def told_field(tab: str, lines: int = 1, most: int = 4) -> Any:
    """Where a tab says what it has done, or what is wrong."""
    import gradio as gr

    return gr.Textbox(
        show_label=False,
        lines=lines,
        max_lines=most,
        elem_id=f"{tab}-told",
        elem_classes="told",
        interactive=False,
        placeholder="What comes of it is said here.",
    )


def names_of(kind: str, own: str = "as in the spec") -> list[tuple[str, str]]:
    """All components of a kind as (shown, value), behind an empty one: as the run's spec has it, which is `own`."""
    from pixelflow.core import plugins

    plugins.load()
    return [(own, ""), *((name, name) for name in registry.of_kind(kind))]


def run_fields(blocks: Blocks, tab: Tab, shelf: Shelf, place: str, title: str = "Run") -> tuple[Any, Any, Any]:
    """Run, checkpoint and weights, which follow the run; the runs follow the folder."""
    import gradio as gr

    names = shelf.names()
    first = names[0] if names else None
    with gr.Row():
        run = gr.Dropdown(names, value=first, label=title, elem_id=f"{place}-run", min_width=100, scale=2)
        step = gr.Dropdown([NEWEST], value=NEWEST, label="Checkpoint", elem_id=f"{place}-step", min_width=100)
        weights = gr.Dropdown(
            list(WEIGHTS),
            value=WEIGHTS[0],
            label="Weights",
            elem_id=f"{place}-weights",
            min_width=100,
            allow_custom_value=True,
        )

    def kept(name: str | None) -> tuple[object, object]:
        try:
            steps, averages = shelf.checkpoints(name), shelf.weights(name)
        except PixelflowError:
            steps, averages = [NEWEST], list(WEIGHTS)
        return gr.update(choices=steps, value=NEWEST), gr.update(choices=averages, value=averages[0])

    def listed(chosen: str | None) -> object:
        there = shelf.names()  # what is chosen meanwhile stays
        return gr.update(choices=there, **({} if chosen in there else {"value": next(iter(there), None)}))

    run.change(kept, run, [step, weights], queue=False, show_progress="hidden")
    tab.select(listed, run, run, queue=False, show_progress="hidden")
    blocks.load(listed, run, run, queue=False).then(kept, run, [step, weights], queue=False)
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
        size = gr.Textbox(label="Size", placeholder="width x height", elem_id=f"{tab}-size", min_width=100)
    with gr.Row():
        steps = gr.Textbox(
            label="Steps, or one for each stage", placeholder="as in the spec", elem_id=f"{tab}-steps", min_width=120
        )
        guidance = gr.Textbox(
            label="Guidance, or by stage", placeholder="as in the spec", elem_id=f"{tab}-guidance", min_width=120
        )
    with gr.Row():
        sampler, grid = (
            gr.Dropdown(
                names_of(kind),
                value="",
                label=label,
                elem_id=f"{tab}-{kind}",
                allow_custom_value=True,
                min_width=120,
            )
            for kind, label in (("sampler", "Sampler"), ("grid", "Time grid"))
        )

    def fitting(name: str | None) -> tuple[object, ...]:
        try:
            opened = shelf.open(name)
        except PixelflowError:
            return gr.update(choices=[], value=[]), *[gr.update(visible=False)] * 2, *[gr.skip()] * 5
        named = [opened.classes[label] if label < len(opened.classes) else str(label) for label in opened.labels]
        reads = "caption" in opened.reads
        return (
            gr.update(choices=named, value=[], visible=bool(named)),
            gr.update(visible=reads),
            gr.update(visible=reads),
            *_of_spec(opened.spec),
        )

    fitted = [labels, prompt, negative, size, steps, guidance, sampler, grid]
    run.change(fitting, run, fitted, queue=False, show_progress="hidden")
    blocks.load(fitting, run, fitted, queue=False)
    return [labels, prompt, negative, seed, count, steps, guidance, sampler, grid, size]


def _of_spec(spec: ExperimentSpec) -> tuple[object, ...]:
    """What size, steps, guidance, sampler and grid are where nothing is given, shown in their fields."""
    import gradio as gr

    sampling, (height, width) = spec.sampling, spec.image.size
    steps = ", ".join(str(count) for count in sampling.steps_of(spec.stages))
    texts = (f"{width}x{height}", steps, shown(sampling.guidance.model_dump(mode="json")))
    listed = (
        gr.update(choices=names_of(kind, shown(block.model_dump(mode="json"))))
        for kind, block in (("sampler", sampling.sampler), ("grid", sampling.grid))
    )
    return (*(gr.update(placeholder=text) for text in texts), *listed)


def chosen(labels: list[str], prompt: str, negative: str, seed: float, count: float, *rest: str | None) -> Choices:
    """The values of `image_fields`."""
    named = dict(zip(("steps", "guidance", "sampler", "grid", "size"), (text or "" for text in rest), strict=True))
    return Choices(tuple(labels or ()), prompt or "", negative or "", int(seed or 0), int(count or 0), **named)
