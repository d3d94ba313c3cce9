"""Drawing that is watched: frames while it goes on, and a stop that stops."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import Any

import torch
from PIL.Image import Image, Resampling
from torch import Tensor

from pixelflow.core.schedule import Stage
from pixelflow.generation.pictures import filmstrip, grid
from pixelflow.generation.result import Drawing, Result
from pixelflow.generation.run import Run
from pixelflow.system.errors import StoppedError
from pixelflow.ui.choices import Choices, Way

_SHOWN = 6
"""Images in the filmstrip."""
_CELL = 128
"""Pixels of the shorter side of an image in a gallery or a grid."""
_STAGE = 96
"""Of one in the filmstrip."""
_PAUSE = 0.25
"""Least seconds between frames."""


class UnderWay:
    """The drawings of a tab, of which one is under way at a time."""

    def __init__(self) -> None:
        self._watched: Watched | None = None

    def watch(self, watched: Watched) -> Iterator[Frame]:
        """Its frames, which `stop` ends."""
        self._watched = watched
        yield from watched

    def stop(self) -> None:
        """End what is under way after its step; nothing, if there is nothing."""
        if self._watched is not None:
            self._watched.stop()


@dataclass(frozen=True)
class Frame:
    """What is there to see at one time."""

    strip: Image | None
    """A row an image; by stage the state, and the clean image that it is heading for."""
    told: str
    """Progress, network function evaluations and seconds."""
    result: Result | None = None
    """At the end."""


class Watched:
    """One drawing in a thread of its own; iterate it for its frames."""

    def __init__(self, run: Run, choices: Choices | Way, **more: Any) -> None:
        """More: for `Run.prepare`, such as ``edit=``."""
        self._run = run
        self._choices = choices
        self._more = more
        self._stop = threading.Event()
        self._frames: SimpleQueue[Frame | BaseException | None] = SimpleQueue()
        self._ended: list[tuple[Tensor, Tensor | None]] = []
        """State and clean image at the end of each stage before the one that is shown."""
        self._last = 0.0
        self._began = time.perf_counter()

    def stop(self) -> None:
        """End it after the step that is under way."""
        self._stop.set()

    def __iter__(self) -> Iterator[Frame]:
        drawing = self._choices.drawing(self._run, keep_stages=True, on_step=self._on_step, **self._more)
        thread = threading.Thread(target=self._draw, args=(drawing,), daemon=True)
        thread.start()
        try:
            while thread.is_alive() or not self._frames.empty():
                try:
                    frame = self._frames.get(timeout=0.2)
                except Empty:
                    continue
                if isinstance(frame, BaseException):
                    raise frame
                if frame is not None:
                    yield frame
        finally:  # whoever looks away stops it, too
            self.stop()

    def _draw(self, drawing: Drawing) -> None:
        try:
            result = drawing.draw()
            spent = " + ".join(f"{each:g}" for each in result.nfe)
            told = f"{len(result)} images, {spent} NFE each by stage, {self._seconds}"
            last = (result.stages[-1], None)
            strip = _strip([*self._ended[:-1], last], result.titles)
            self._frames.put(Frame(strip, told, result))
        except StoppedError:
            self._frames.put(Frame(None, f"stopped after {self._seconds}"))
        except BaseException as error:  # it is raised where it is seen
            self._frames.put(error)

    def _on_step(self, stage: Stage, tau: float, state: Tensor, velocity: Tensor) -> None:
        if self._stop.is_set():
            raise StoppedError("stopped on the page")
        now = time.perf_counter()
        is_end = tau >= 1
        if not is_end and now - self._last < _PAUSE:
            return
        self._last = now
        clean = self._run.model.cascade.clean_estimate(state[:_SHOWN], velocity[:_SHOWN], tau, stage)
        pair = (state[:_SHOWN].float().cpu(), clean.float().cpu())
        told = f"stage {stage.index + 1}: {tau:.0%}, {self._seconds}"
        before = self._ended[: stage.index]
        self._frames.put(Frame(_strip([*before, pair]), told))
        if is_end:
            self._ended = [*before, pair]

    @property
    def _seconds(self) -> str:
        return f"{time.perf_counter() - self._began:.1f} s"


def _strip(pairs: Sequence[tuple[Tensor, Tensor | None]], rows: Sequence[str] = ()) -> Image:
    """States, and what each heads for, enlarged to the size of the largest."""
    columns, titles = [], []
    for state, clean in pairs:
        name = f"{state.shape[-2]} x {state.shape[-1]}"
        columns.append(state[:_SHOWN])
        titles.append(name)
        if clean is not None:
            columns.append(clean)
            titles.append("clean")
    return filmstrip(columns, titles, rows=list(rows[:_SHOWN]) or None, cell=_STAGE)


def varied_grid(
    run: Run, choices: Choices, across: tuple[str, Sequence[str]], down: tuple[str, Sequence[str]]
) -> Iterator[tuple[Image, str]]:
    """One image for each pair of values of two settings, everything else equal; the grid grows by rows.

    Args:
        across: a setting and its values, one a column.
        down: likewise, one a row; no values for a single row.

    Raises:
        UsageError, SpecError: a value does not fit.
    """
    images: list[Tensor] = []
    titles: list[str] = []
    for below in down[1] or [""]:
        for value in across[1]:
            one = choices.varied(across[0], value)
            one = one.varied(down[0], below) if below else one
            drawn = replace(one, count=1).drawing(run).draw()
            images.append(drawn.images[0])
            titles.append(f"{across[0]} {value}" + (f", {down[0]} {below}" if below else ""))
        told = f"{len(images)} of {len(across[1]) * max(1, len(down[1]))}"
        yield grid(images, titles, len(across[1]), _CELL), told


def titled(result: Result) -> list[tuple[Image, str]]:
    """The images with their titles, enlarged for a gallery."""
    return [(enlarged(one, _CELL), title) for one, title in zip(result.pictures(), result.titles, strict=True)]


def enlarged(picture: Image, least: int) -> Image:
    """Every pixel a square, so that the shorter side has about so many pixels."""
    scale = max(1, least // min(picture.size))
    return picture.resize((picture.width * scale, picture.height * scale), Resampling.NEAREST)


def difference(first: Tensor, second: Tensor) -> Tensor:
    """(b c h w) in [-1, 1]: half the difference of two sets of images, grey where they are equal."""
    return torch.clamp((second - first) / 2, -1, 1)
