"""What carries a sweep's workers: an executor starts them and says what became of them.

It is handed what a worker does, and knows nothing else of a sweep.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pixelflow.core.component import Count, Settings
from pixelflow.system.errors import PixelflowError

Job = Callable[[Path, str | None, int], None]
"""What a worker does: a function of a module, called with the sweep's folder, a device or None, and the number of
processes that it starts for each task.

``python -m MODULE FOLDER PROCESSES [DEVICE]`` does the same, until its standard input closes.
"""


@dataclass(frozen=True)
class Ending:
    """How a worker ended."""

    death: str | None = None
    """What it died of, as in "the worker ..."; None if nothing was left to do."""
    error: PixelflowError | None = None
    """What it had to say, which concerns the whole sweep."""


class Worker(ABC):
    """A worker at work."""

    @property
    @abstractmethod
    def ending(self) -> Ending | None:
        """How it ended; None while it works."""

    @abstractmethod
    def stop(self) -> None:
        """Tell it to stop; does not wait."""

    @abstractmethod
    def wait(self) -> None:
        """Wait until a worker that was told to stop has done so."""

    @property
    def pid(self) -> int | None:
        """Its process, if that is one of this machine."""
        return None


class Executor(Settings, ABC):
    """Settings of an executor."""

    type: str
    """Name of the executor."""
    workers: Count | None = None
    """Workers at a time."""
    processes: Count = 1
    """Processes that do each task together, one a GPU where there are GPUs."""

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Whatever workers need around them; raises MissingDependencyError where a package is not installed."""
        yield

    @abstractmethod
    def count(self, most: int) -> int:
        """How many workers to start, where there is work for `most`."""

    @abstractmethod
    def hire(self, job: Job, folder: Path, index: int, count: int) -> Worker:
        """Start worker `index` of `count` with a job on a sweep's folder."""
