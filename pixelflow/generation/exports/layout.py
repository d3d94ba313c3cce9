"""What a benchmark brings along (prompts) and what its evaluator reads (a folder of images)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from PIL.Image import Image

from pixelflow.system.errors import DataError
from pixelflow.system.files import read_bytes

_LARGEST = 1 << 28
"""Bytes of a file of prompts."""


@dataclass(frozen=True)
class ExportTask:
    """One prompt of a benchmark."""

    number: int
    """Its place among the prompts, from 0."""
    prompt: str
    details: str = ""
    """What its files hold or are named for beside the prompt, as the layout wants it."""


class ExportLayout(ABC):
    """The files of one benchmark, below the folder that its evaluator is pointed at."""

    folder: ClassVar[str] = "images"
    """Name of that folder; nothing else is written into it."""
    images: ClassVar[int]
    """Images of each prompt, as the benchmark defines it."""
    squares_only: ClassVar[bool] = False
    """Whether the evaluator takes no other images than square ones."""

    @abstractmethod
    def read(self, source: Path) -> list[ExportTask]:
        """The benchmark's own prompts.

        Raises:
            MissingInputError: there are none at `source`.
            DataError: they are not what the benchmark hands out.
        """

    @abstractmethod
    def paths(self, task: ExportTask) -> list[str]:
        """The files of a prompt."""

    @abstractmethod
    def contents(self, task: ExportTask, pictures: Sequence[Image]) -> list[Image | str]:
        """What they hold: pictures, or text."""


def read_lines(source: Path) -> list[tuple[int, str]]:
    """The lines of a UTF-8 file that hold anything, counted from 1, with carriage returns and blanks cut off.

    Raises:
        MissingInputError, DataError: there is no such file; it is not UTF-8, or empty.
    """
    try:
        text = read_bytes(source, _LARGEST).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{source}: is not UTF-8 text (byte {error.start})") from None
    lines = [(number, line.strip()) for number, line in enumerate(text.split("\n"), 1)]
    if not any(line for _, line in lines):
        raise DataError(f"{source}: holds no prompt")
    return [(number, line) for number, line in lines if line]
