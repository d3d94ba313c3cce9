"""A run while it trains, or afterwards: losses, newest previews, evaluations; stop it and go on with it."""

from __future__ import annotations

from PIL import Image

from pixelflow.evaluation.records import figures
from pixelflow.runs.runfolder import RunFolder
from pixelflow.runs.summary import Summary, summary
from pixelflow.system import decoding
from pixelflow.system.errors import PixelflowError
from pixelflow.ui.curves import LossPicture
from pixelflow.ui.fields import Blocks, Tab, told_field
from pixelflow.ui.shelf import Shelf
from pixelflow.ui.telling import told

_EVERY = 3.0
"""Seconds between two looks."""


def build(blocks: Blocks, tab: Tab, shelf: Shelf) -> None:
    """The tab's fields and what they do."""
    import gradio as gr

    trainings = shelf.trainings
    names = shelf.names()
    with gr.Row():
        run = gr.Dropdown(names, value=next(iter(names), None), label="Run", elem_id="watch-run", scale=3)
        with gr.Column(scale=2, min_width=240):
            told_line = told_field("watch", lines=2)
            with gr.Row():
                stop = gr.Button("Stop", elem_id="watch-stop", min_width=80)
                resume = gr.Button("Continue", elem_id="watch-continue", min_width=80)
    with gr.Row():
        losses = gr.Image(label="Losses", elem_id="watch-losses", format="png")
        preview = gr.Image(label="Newest previews", elem_id="watch-preview", format="png")
    log = gr.Textbox(
        label="What the training said", lines=6, max_lines=6, elem_id="watch-log", elem_classes="told",
        interactive=False,
    )  # fmt: skip
    evaluations = gr.Dataframe(
        headers=["step", "what", "figure"], label="Evaluations", elem_id="watch-evaluations", wrap=True,
        column_widths=["15%", "60%", "25%"],
    )  # fmt: skip

    opened: dict[str, tuple[int, RunFolder, LossPicture]] = {}

    @told(5)
    def seen(name: str) -> tuple[object, ...]:
        path = shelf.path(name)
        begun = next(iter(shelf.written(name)), 0)
        if name not in opened or opened[name][0] != begun:  # else another run of this name is there now
            opened[name] = begun, RunFolder(path), LossPicture(path)
        _, folder, drawn = opened[name]
        one = summary(path, folder)
        return _losses(drawn), _newest(folder), _evaluated(folder), trainings.said(name), _state(one)

    known = gr.State([])

    def listed(given: str | None, before: list[str]) -> tuple[object, object]:
        """The runs that are there now; nothing where they are the same, so that an open list stays open."""
        there = shelf.names()
        if sorted(there) == sorted(before) and given in there:
            return gr.skip(), gr.skip()
        chosen = {} if given in there else {"value": next(iter(there), None)}
        return gr.update(choices=there, **chosen), there

    shown = [losses, preview, evaluations, log, told_line]
    run.change(seen, run, shown, show_progress="hidden")
    blocks.load(seen, run, shown, show_progress="hidden")
    timer = gr.Timer(_EVERY)
    timer.tick(seen, run, shown, show_progress="hidden")
    timer.tick(listed, [run, known], [run, known], queue=False, show_progress="hidden")
    stop.click(told(1)(trainings.stop), run, told_line)
    resume.click(told(1)(trainings.resume), run, told_line)


def _losses(drawn: LossPicture) -> Image.Image | None:
    try:
        return drawn.draw()
    except PixelflowError:  # none yet
        return None


def _evaluated(folder: RunFolder) -> list[list[str]]:
    """While training, the newest first; then by ``pixelflow eval``."""
    rows = [[str(each.step), each.metric, f"{each.value:.5g}"] for each in reversed(folder.history.evaluated)]
    kept = figures(folder.evaluations)
    rows += [[str(one.step or ""), name, f"{one.value:.5g}"] for (name, _), one in kept.items()]
    return rows


def _newest(folder: RunFolder) -> Image.Image | None:
    """The last picture that training drew into the run's samples."""
    found = sorted(folder.samples.glob("step-????????.png"))  # by their steps
    if not found:
        return None
    try:
        return decoding.read(found[-1], 3)
    except decoding.UnreadableImageError:  # it is just being put there
        return None


def _state(one: Summary) -> str:
    if one.trouble:
        return f"pixelflow: {one.trouble}"
    step = "no checkpoint yet" if one.step is None else f"saved at step {one.step:,}"
    whole = f" of {one.steps:,}" if one.steps and one.step is not None else ""
    loss = "" if one.loss is None else f", loss {one.loss:.4f}"
    speed = "" if one.images_per_second is None else f", {one.images_per_second:,.4g} images/s"
    return f"{'training' if one.is_training else 'not training'}; {step}{whole}{loss}{speed}"
