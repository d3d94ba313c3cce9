"""Reading ahead in other processes, none of which outlives the one that it reads for or can make it wait for ever.

Each has a connection of its own over which orders come and results go, their large arrays through memory that is shared
with it (`shared.Slots`). A process ends when its connection does, and so
with the one that trains, however that ends; if it ends before, that is noticed at the next result that it owes.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import pickle
import queue
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Generic, TypeVar

import torch

from pixelflow.system.errors import DataError, OutOfMemoryError
from pixelflow.system.memory import is_out_of_memory
from pixelflow.system.stopping import REQUESTS, unbroken
from pixelflow.training.shared import Slots

Order = TypeVar("Order")
Packed = TypeVar("Packed")
Result = TypeVar("Result")

_AHEAD = 4
"""Orders that each process has at a time."""
_PATIENCE = 5.0
"""Seconds in which a process ends that has been killed; one that waits for a file server may take for ever."""
_LESS = "lower training.workers or training.batch_size, or give the machine more memory"


def read_ahead(
    read: Callable[[Order], Packed], orders: Iterator[Order], workers: int, finish: Callable[[Packed], Result]
) -> Iterator[Result]:
    """``finish(read(order))`` of all orders, in their order; `read` runs in `workers` processes.

    Args:
        read: must pickle, and its results too.
        orders: without end.
        finish: runs in this process, beside the training, and copies what it keeps of the result's arrays: their memory
            is used again.

    Raises:
        OutOfMemoryError: the system ended a process, or refuses what one needs.
        DataError: a process ended by itself.
        Exception: what `read` raised.
    """
    with _Crew(read, workers, finish) as crew:
        for order in islice(orders, _AHEAD * workers):
            crew.give(order)
        for order in orders:
            yield crew.next()
            crew.give(order)


@dataclass(frozen=True)
class _Failure:
    """In place of a result."""

    error: Exception
    """EOFError where the process is gone."""


class _Crew(Generic[Order, Packed, Result]):
    """The processes, which have orders and owe results in turn."""

    def __init__(self, read: Callable[[Order], Packed], count: int, finish: Callable[[Packed], Result]) -> None:
        self._read, self._count, self._finish = read, count, finish
        self._processes: list[BaseProcess] = []
        self._connections: list[Connection] = []
        self._slots: list[Slots | None] = []
        self._results: list[queue.SimpleQueue[Result | _Failure]] = [queue.SimpleQueue() for _ in range(count)]
        self._given = self._taken = 0
        self._receiver = threading.Thread(target=self._receive, daemon=True, name="reading")

    def __enter__(self) -> _Crew[Order, Packed, Result]:
        atexit.register(self._close)  # before multiprocessing would wait for what ignores its signals
        try:
            for _ in range(self._count):
                self._hire()
            self._receiver.start()
        except BaseException as error:
            self._close()
            if isinstance(error, OSError):
                raise OutOfMemoryError(
                    f"the system starts no {self._count} processes that read data ({error.strerror}); lower "
                    "training.workers, or raise the limit (ulimit -n 65536 for open files, ulimit -u for processes)"
                ) from None
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._close()

    def give(self, order: Order) -> None:
        """An order for the process whose turn it is."""
        with suppress(OSError):  # it is gone, as `next` will say when its turn comes
            self._connections[self._given % self._count].send(order)
        self._given += 1

    def next(self) -> Result:
        """The result of the oldest order that is not answered yet."""
        worker = self._taken % self._count
        self._taken += 1
        found = self._results[worker].get()
        if not isinstance(found, _Failure):
            return found
        raise self._death(worker) if isinstance(found.error, EOFError) else found.error

    def _hire(self) -> None:
        context = multiprocessing.get_context()
        ours, theirs = context.Pipe()
        self._connections.append(ours)
        self._slots.append(Slots.of(_AHEAD))
        is_forked = context.get_start_method() == "fork"
        process = context.Process(
            target=_work,
            args=(self._read, theirs, self._slots[-1], self._connections if is_forked else ()),
            daemon=True,
        )
        with theirs, unbroken():
            process.start()
        self._processes.append(process)

    def _receive(self) -> None:
        """Take in results as they come, until every connection has ended."""
        open_ones = {connection: worker for worker, connection in enumerate(self._connections)}
        while open_ones:
            ready = wait(list(open_ones))
            for connection, worker in [one for one in open_ones.items() if one[0] in ready]:
                outcome = self._received(connection, self._slots[worker])
                self._results[worker].put(outcome)
                if isinstance(outcome, _Failure) and isinstance(outcome.error, EOFError):
                    del open_ones[connection]

    def _received(self, connection: Connection, slots: Slots | None) -> Result | _Failure:
        try:
            content = connection.recv_bytes()
        except (EOFError, OSError):
            return _Failure(EOFError())
        try:
            result, error = pickle.loads(content) if slots is None else slots.loads(content)
            return self._finish(result) if error is None else _Failure(error)
        except Exception as error:
            return _Failure(error)

    def _death(self, worker: int) -> Exception:
        """Why a process is gone."""
        process = self._processes[worker]
        process.join(_PATIENCE)
        code = process.exitcode or 0
        if code == -signal.SIGKILL:
            return OutOfMemoryError(
                f"a process that reads data was killed, as systems do when memory runs out; {_LESS}"
            )
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        return DataError(
            f"a process that reads data {how}; training.workers=0 reads in the training process and shows where"
        )

    def _close(self) -> None:
        """End all processes; nothing that they do is worth keeping."""
        atexit.unregister(self._close)
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.join(_PATIENCE)
        if self._receiver.is_alive() and self._receiver is not threading.current_thread():
            self._receiver.join(_PATIENCE)
        for connection in self._connections:
            connection.close()
        for slots in self._slots:
            if slots is not None:
                slots.close()
        self._processes, self._connections, self._slots = [], [], []


def _work(
    read: Callable[[Order], object], connection: Connection, slots: Slots | None, strangers: Sequence[Connection]
) -> None:
    """What a process does until its connection ends.

    Args:
        slots: where large arrays go.
        strangers: the other side of this connection and others, inherited; held here they would never end.
    """
    for stranger in strangers:
        stranger.close()
    for number in REQUESTS:  # a signal to all must not end a process while another still saves
        signal.signal(number, signal.SIG_IGN)
    torch.set_num_threads(1)
    orders: queue.SimpleQueue[Order] = queue.SimpleQueue()
    threading.Thread(target=_take, args=(connection, orders), daemon=True).start()
    while True:
        answer = _answer(read, orders.get(), pickle.dumps if slots is None else slots.dumps)
        try:
            connection.send_bytes(answer)
        except OSError:
            os._exit(0)


def _take(connection: Connection, orders: queue.SimpleQueue[Order]) -> None:
    """Take in orders while others are carried out, so that whoever gives one never waits; end with the connection."""
    while True:
        try:
            orders.put(connection.recv())
        except (EOFError, OSError):
            os._exit(0)


def _answer(read: Callable[[Order], object], order: Order, dumps: Callable[[object], bytes]) -> bytes:
    """The message of an order's outcome."""
    try:
        return dumps((read(order), None))
    except Exception as error:
        if is_out_of_memory(error):
            error = OutOfMemoryError(f"a process that reads data is out of memory; {_LESS}")
        error.add_note(traceback.format_exc())
        try:
            return _tried(error, dumps)
        except Exception:  # some errors do not pickle
            return _tried(RuntimeError(f"{type(error).__name__}: {error}"), dumps)


def _tried(error: Exception, dumps: Callable[[object], bytes]) -> bytes:
    pickle.loads(pickle.dumps(error))
    return dumps((None, error))
