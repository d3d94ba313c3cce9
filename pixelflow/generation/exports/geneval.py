"""GenEval (arXiv 2310.11513, github.com/djghosh13/geneval)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from PIL.Image import Image

from pixelflow.generation.exports.layout import ExportLayout, ExportTask, read_lines
from pixelflow.system.errors import DataError


class GenEval(ExportLayout):
    """A folder for each of the 553 prompts: ``00000/metadata.jsonl`` and ``00000/samples/0000.png ...``.

    Its prompts are ``prompts/evaluation_metadata.jsonl``. The copy of a prompt's line must be the only JSON object
    of its ``metadata.jsonl``, which the evaluator reads whole.
    """

    images = 4

    def read(self, source: Path) -> list[ExportTask]:
        return [_task(source, place, *line) for place, line in enumerate(read_lines(source))]

    def paths(self, task: ExportTask) -> list[str]:
        folder = f"{task.number:05d}"
        return [f"{folder}/metadata.jsonl", *(f"{folder}/samples/{image:04d}.png" for image in range(self.images))]

    def contents(self, task: ExportTask, pictures: Sequence[Image]) -> list[Image | str]:
        return [task.details, *pictures]


def _task(source: Path, place: int, number: int, line: str) -> ExportTask:
    try:
        found: object = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("prompt"), str):
        raise DataError(
            f"{source}:{number}: is no JSON object with a 'prompt'; give GenEval's prompts/evaluation_metadata.jsonl"
        )
    return ExportTask(place, found["prompt"], json.dumps(found))
