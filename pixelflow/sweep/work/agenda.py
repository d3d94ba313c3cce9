"""A sweep's plan and tasks as they are now: while it runs, a search or another command may add to them."""

from __future__ import annotations

from pathlib import Path

from pixelflow.sweep.points.plan import FILE, Plan
from pixelflow.sweep.work.task import Task
from pixelflow.sweep.work.tasks import tasks_of


class Agenda:
    """What is to be done in a sweep's folder; reads the plan again when its file has changed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / FILE
        self._version: tuple[int, int] | None = None
        self._plan: Plan
        self._tasks: list[Task]

    @property
    def plan(self) -> Plan:
        """The plan; raises as `Plan.read`."""
        self._refresh()
        return self._plan

    @property
    def tasks(self) -> list[Task]:
        """All tasks of the plan."""
        self._refresh()
        return self._tasks

    @property
    def left(self) -> list[Task]:
        """Tasks that are neither done nor failed."""
        return [task for task in self.tasks if not task.is_done and task.failure is None]

    def _refresh(self) -> None:
        version = self._read_version()
        if version is None or version != self._version:
            self._plan = Plan.read(self._folder)
            self._tasks = tasks_of(self._plan, self._folder)
            self._version = version

    def _read_version(self) -> tuple[int, int] | None:
        try:
            found = self._file.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns
