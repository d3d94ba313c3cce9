"""T2I-CompBench (arXiv 2307.06350, github.com/Karine-Huang/T2I-CompBench)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL.Image import Image

from pixelflow.generation.exports.layout import ExportLayout, ExportTask, read_lines
from pixelflow.system.errors import DataError

_LONGEST_NAME = 255
"""Bytes of a file's name, on the file systems in use."""


class T2ICompBench(ExportLayout):
    """``samples/<prompt>_<000000>.png``: 10 images of each of a category's 300 prompts, counted through.

    Its prompts are one file a category, such as ``examples/dataset/color_val.txt``, one a line. The evaluators read
    the prompt off the file's name, up to its first ``_``, so a prompt that a name cannot hold is refused.
    """

    folder = "samples"
    images = 10

    def read(self, source: Path) -> list[ExportTask]:
        lines = read_lines(source)
        tasks = [ExportTask(place, line) for place, (_, line) in enumerate(lines)]
        for task, (number, line) in zip(tasks, lines, strict=True):
            odd = next((sign for sign in ("/", "_", "\0") if sign in line), None)
            if odd is not None:
                raise DataError(
                    f"{source}:{number}: T2I-CompBench reads prompts off file names, which cannot hold {odd!r}"
                )
            if max(len(name.encode()) for name in self.paths(task)) > _LONGEST_NAME:
                raise DataError(
                    f"{source}:{number}: T2I-CompBench reads prompts off file names; this one is too long for it"
                )
        return tasks

    def paths(self, task: ExportTask) -> list[str]:
        first = task.number * self.images
        return [f"{task.prompt}_{index:06d}.png" for index in range(first, first + self.images)]

    def contents(self, task: ExportTask, pictures: Sequence[Image]) -> list[Image | str]:
        return list(pictures)
