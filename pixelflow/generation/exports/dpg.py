"""DPG-Bench (arXiv 2403.05135, github.com/TencentQQGYLab/ELLA)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from pixelflow.generation.exports.layout import ExportLayout, ExportTask, read_lines
from pixelflow.system.errors import DataError, MissingInputError


class DPGBench(ExportLayout):
    """One picture for each of the 1,065 prompts, named for the prompt's file: its four images as a 2 x 2 grid.

    Its prompts are the folder ``dpg_bench/prompts`` of text files. The evaluator cuts the grid into squares of the
    ``--resolution`` it is told, and takes every file of the folder for a grid.
    """

    images = 4
    squares_only = True

    def read(self, source: Path) -> list[ExportTask]:
        if not source.is_dir():
            raise MissingInputError(f"{source}: is no folder; give DPG-Bench's dpg_bench/prompts")
        files = sorted(source.glob("*.txt"))
        if not files:
            raise DataError(f"{source}: holds no *.txt; give DPG-Bench's dpg_bench/prompts")
        return [
            ExportTask(number, " ".join(line for _, line in read_lines(file)), file.stem)
            for number, file in enumerate(files)
        ]

    def paths(self, task: ExportTask) -> list[str]:
        return [f"{task.details}.png"]

    def contents(self, task: ExportTask, pictures: Sequence[Image.Image]) -> list[Image.Image | str]:
        side = pictures[0].width
        grid = Image.new("RGB", (2 * side, 2 * side))
        for index, picture in enumerate(pictures):
            grid.paste(picture, (index % 2 * side, index // 2 * side))
        return [grid]
