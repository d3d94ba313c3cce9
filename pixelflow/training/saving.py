"""Checkpoints that are written while training goes on.

Training stops for a copy into main memory; a thread hashes and writes it. Each process writes the share that it holds,
and the first makes a checkpoint of them when all are on the disk. A kill loses at most the one that is being written.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from pixelflow.runs import checkpoint
from pixelflow.runs.tensor_files import Share
from pixelflow.system.engines import Engine

Parts = Mapping[str, Mapping[str, Tensor]]


class Saver:
    """Writes one checkpoint at a time; what goes wrong is raised when the next one comes, or by `finish`."""

    def __init__(self, folder: Path, engine: Engine, keep: int, newest: int | None) -> None:
        self.newest = newest
        """The step of the newest complete checkpoint; None if there is none."""
        self._folder, self._engine, self._keep = folder, engine, keep
        self._apart = engine.parallel.apart()
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None
        self._pinned = dict[tuple[str, str], Tensor]()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        """Wait for the thread: the next training of this process would remove what it is writing.

        Of several processes one may be gone, for which it would wait; they end with their training.
        """
        if self._thread is not None and self._engine.parallel.size == 1:
            self._thread.join()

    def begin(self, step: int, parts: Parts, state: Mapping[str, Any], best: int | None = None) -> None:
        """Copy what this process writes, and write it behind the training; all processes come here together.

        Args:
            parts: the tensors as they are held, by part of the checkpoint and name.
            state: what else is kept, as JSON.
            best: a step whose checkpoint is not deleted.

        Raises:
            CannotWriteError: the checkpoint before this one, or the folder, could not be written.
        """
        self.finish()
        if self._engine.parallel.is_first:
            checkpoint.start(self._folder)
        self._engine.parallel.wait()
        copies = {part: self._copied(part, self._engine.own(named)) for part, named in parts.items()}
        if self._engine.parallel.device.type == "cuda":
            torch.cuda.synchronize()
        write = threading.Thread(target=self._write, args=(step, copies, state, best), daemon=True, name="saving")
        write.start()
        self._thread = write

    @property
    def has_failed(self) -> bool:
        """Whether `finish` would raise at once."""
        return self._error is not None

    def finish(self) -> None:
        """Wait until the checkpoint that is being written is complete.

        Raises:
            CannotWriteError: the disk refuses; the checkpoints before it stand.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._error is not None:
            raise self._error

    def _copied(self, part: str, named: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Copies in main memory. What a GPU copies to is pinned, which is many times faster, and used again."""
        copies = {}
        for name, tensor in named.items():
            own = tensor.detach()
            if own.device.type == "cuda":
                if (part, name) not in self._pinned:
                    self._pinned[part, name] = torch.empty_like(own, device="cpu", pin_memory=True)
                copies[name] = self._pinned[part, name].copy_(own, non_blocking=True)
            else:
                copies[name] = own.clone()
        return copies

    def _write(self, step: int, copies: Parts, state: Mapping[str, Any], best: int | None) -> None:
        """All write, then the first commits; every process hears how it went."""
        try:
            outcomes = self._apart.gather(_tried(lambda: self._share(step, copies)))
            failure = next((one for one in outcomes if isinstance(one, Exception)), None)
            if failure is None:
                sums = {name: digest for one in outcomes if isinstance(one, dict) for name, digest in one.items()}
                done = self._apart.of_first(
                    lambda: _tried(lambda: checkpoint.commit(self._folder, step, sums, state, self._keep, best))
                )
                failure = done if isinstance(done, Exception) else None
        except Exception as error:  # another process is gone, as the training will notice too
            failure = error
        if failure is None:
            self.newest = step
        self._error = failure

    def _share(self, step: int, copies: Parts) -> dict[str, str]:
        """The hashes of the files that this process writes."""
        engine = self._engine
        if engine.parallel.rank >= engine.shards:
            return {}
        return checkpoint.write(self._folder, step, copies, Share(engine.shard, engine.shards))


def _tried(work: Any) -> Any:
    """What comes of it, or the exception."""
    try:
        return work()
    except Exception as error:
        return error
