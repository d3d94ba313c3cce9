"""What is chosen on the page: for `Run.prepare`, and as the command, the Python and the record that repeat it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pixelflow.generation.interpolation import between
from pixelflow.generation.result import Drawing
from pixelflow.generation.run import Run
from pixelflow.generation.settings import read_size
from pixelflow.generation.written import sampling_changes
from pixelflow.system.errors import UsageError

SETTINGS = ("seed", "steps", "guidance", "sampler", "grid", "labels", "prompt")
"""That can be varied in a grid."""
_MOST = 64
"""Images that the page draws at once."""


@dataclass(frozen=True)
class Choices:
    """The fields of the page; an empty text leaves a setting as the run's spec has it."""

    labels: Sequence[str] = ()
    prompt: str = ""
    """One caption a line."""
    negative: str = ""
    seed: int = 0
    count: int = 4
    steps: str = ""
    guidance: str = ""
    sampler: str = ""
    grid: str = ""
    size: str = ""

    def drawing(self, run: Run, **more: Any) -> Drawing:
        """Decided, not yet drawn; raises what `Run.prepare` raises, and UsageError for what the page cannot draw."""
        if not 1 <= self.count <= _MOST:
            raise UsageError(f"{self.count} images: the page draws 1 to {_MOST} at once; pixelflow sample draws more")
        return run.prepare(**self.given(run), **more)

    def given(self, run: Run) -> dict[str, Any]:
        """What `Run.prepare` is given."""
        texts = {key: getattr(self, key) or None for key in ("steps", "sampler", "guidance", "grid")}
        given: dict[str, Any] = {"seed": int(self.seed), "count": int(self.count), **sampling_changes(**texts)}
        if "label" in run.reads and self.labels:
            given["labels"] = list(self.labels)
        if "caption" in run.reads:
            given["prompts"] = _lines(self.prompt) or [""]
            given |= {"negatives": _lines(self.negative)} if _lines(self.negative) else {}
        if self.size:
            given["size"] = read_size(self.size)
        return {key: value for key, value in given.items() if value is not None}

    def varied(self, setting: str, value: str) -> Choices:
        """The same but for one setting.

        Raises:
            UsageError: a seed that is no number, or there is no such setting.
        """
        if setting not in SETTINGS:
            raise UsageError(f"{setting}: is no setting that can be varied; these can: {', '.join(SETTINGS)}")
        if setting == "labels":
            return replace(self, labels=(value,))
        if setting == "seed":
            if not value.isdecimal():
                raise UsageError(f"seed {value}: is no whole number")
            return replace(self, seed=int(value))
        return replace(self, **{setting: value})  # type: ignore[arg-type]

    def command(self, path: Path, run: Run) -> str:
        """The line that draws the same images from a run that lies at `path`."""
        seeds = ["--seed", str(self.seed), "--count", str(self.count)]
        return shlex.join(["pixelflow", "sample", str(path), *self.what(run), *seeds, *self.how()])

    def what(self, run: Run) -> list[str]:
        """Options of a command: the weights, and what is drawn."""
        words = ["--step", str(run.step), "--weights", run.source.weights]
        if self.labels:
            words += ["--labels", ",".join(self.labels)]
        if "caption" in run.reads:
            words += [word for line in _lines(self.prompt) or [""] for word in ("--prompt", line)]
            words += [word for line in _lines(self.negative) for word in ("--negative", line)]
        return words

    def how(self) -> list[str]:
        """Options of a command: the settings that are given."""
        given = {name: getattr(self, name) for name in ("steps", "sampler", "guidance", "grid", "size")}
        return [word for name, value in given.items() if value for word in (f"--{name}", value)]

    def python(self, path: Path, run: Run) -> str:
        """The lines that draw the same images."""
        arguments = ", ".join(f"{key}={value!r}" for key, value in self.given(run).items())
        opened = f"pixelflow.load({str(path)!r}, step={run.step}, weights={run.source.weights!r})"
        return f"import pixelflow\n\nrun = {opened}\nresult = run.draw({arguments})"

    def record(self, run: Run) -> str:
        """The order, as samples.json keeps it."""
        order = self.drawing(run).order
        return "" if order is None else json.dumps(order.model_dump(mode="json"), indent=1)


@dataclass(frozen=True)
class Way:
    """From one image to another; what else is chosen holds for all of them."""

    choices: Choices
    seeds: str
    """Of the ends, between commas."""
    frames: int = 8
    """From one end to the next."""
    loop: bool = False

    def drawing(self, run: Run, **more: Any) -> Drawing:
        """As that of `Choices`; raises what `between` raises, and UsageError for what the page cannot draw."""
        given = {key: value for key, value in self.choices.given(run).items() if key not in ("seed", "count")}
        drawing = between(run, seeds=self._ends(), frames=self.frames, loop=self.loop, **given, **more)
        if len(drawing.titles) > _MOST:
            raise UsageError(
                f"{len(drawing.titles)} frames: the page draws at most {_MOST}; pixelflow interpolate draws more"
            )
        return drawing

    def _ends(self) -> list[int]:
        try:
            return [int(one) for one in self.seeds.split(",")]
        except ValueError:
            raise UsageError(f"seeds {self.seeds}: must be whole numbers between commas, such as 0,1,2") from None

    def command(self, path: Path, run: Run) -> str:
        """The line that draws the same frames."""
        seeds = ["--seeds", ",".join(map(str, self._ends())), "--frames", str(self.frames)]
        options = [*self.choices.what(run), *seeds, *(["--loop"] if self.loop else []), *self.choices.how()]
        return shlex.join(["pixelflow", "interpolate", str(path), "way.webp", *options])


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]
