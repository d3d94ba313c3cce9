"""Processes that work together watch each other, so that none waits for one that is gone.

Each process holds a connection to the first one and says nothing on it but goodbye. The system closes it when its
process ends, however that ends, and the other side hears of it at once, even while that one computes, waits in a
collective or draws. A process that stands still keeps its connection; a machine that is cut off loses it by TCP's own
probes, after half a minute.
"""

from __future__ import annotations

import os
import selectors
import socket
import threading
import time
from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Protocol

from pixelflow.system import terminal
from pixelflow.system.errors import LostPeerError

_GRACE = 5.0
"""Seconds in which a process may end by itself after another has; a common end is not everybody's at the same time."""
_GOODBYE = 2**32 - 1
"""In place of the rank of one that is gone."""
_KEEP_ALIVE = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
_PLACE = "pixelflow/peers"


class Store(Protocol):
    """Torch's, as far as it is used here: texts that all processes share."""

    def set(self, key: str, value: str) -> None: ...

    def get(self, key: str) -> bytes: ...


class Peers:
    """One process's connections, watched by a thread, which ends the process if it does not end by itself."""

    def __init__(self, rank: int, size: int, store: Store, patience: timedelta) -> None:
        """Connect with the others.

        Args:
            store: which all processes share, to tell where the first one listens.
            patience: how long to wait for the others.

        Raises:
            OSError, torch.distributed.DistError: another did not come.
        """
        self._rank = rank
        self._connections = _accepted(store, size - 1, patience) if rank == 0 else {0: _connected(store, rank)}
        self._lost = threading.Event()
        self._is_told = False
        self._who = 0
        if hasattr(os, "register_at_fork"):  # else what reads data for a killed process would keep its connection
            os.register_at_fork(after_in_child=self._close)
        self._watcher = threading.Thread(target=self._watch, daemon=True, name="peers")
        self._watcher.start()

    def error(self) -> LostPeerError | None:
        """What to raise, if another process is gone or found to be so in the next seconds."""
        self._is_told = self._lost.wait(_GRACE)
        return LostPeerError(self._message) if self._is_told else None

    def leave(self) -> None:
        """Say goodbye, and wait some seconds for that of the others: then nobody is in a collective any more.

        To the first process all others say it, and the first to all others.
        """
        self._tell(_GOODBYE)
        self._watcher.join(_GRACE)

    @property
    def _message(self) -> str:
        return (
            f"process {self._who} of those that work together is gone, so process {self._rank} ends too; what is saved "
            "stands, and the same command continues"
        )

    def _watch(self) -> None:
        """Until all others have said goodbye, or one is gone."""
        with selectors.DefaultSelector() as selector:
            for rank, connection in self._connections.items():
                selector.register(connection, selectors.EVENT_READ, rank)
            while selector.get_map():
                for key, _ in selector.select():
                    said = _heard(self._connections[key.data])
                    if said != _GOODBYE:
                        self._end(key.data if said is None else said)
                        return
                    selector.unregister(key.fileobj)

    def _end(self, who: int) -> None:
        """End this process, since `who` is gone: at once by what its collectives raise, else after the grace."""
        self._who = who
        self._lost.set()
        self._tell(who)
        time.sleep(_GRACE)
        if not self._is_told:
            terminal.say(f"pixelflow: {self._message}")
        os._exit(LostPeerError.exit_code)

    def _tell(self, what: int) -> None:
        for connection in self._connections.values():
            try:
                connection.sendall(what.to_bytes(4, "big"))
            except OSError:  # it is gone too
                continue

    def _close(self) -> None:
        for connection in self._connections.values():
            connection.close()


def _heard(connection: socket.socket) -> int | None:
    """A number that came over a connection; None if it has ended."""
    try:
        said = connection.recv(4, socket.MSG_WAITALL)
    except OSError:
        return None
    return int.from_bytes(said, "big") if len(said) == 4 else None


def _accepted(store: Store, count: int, patience: timedelta) -> Mapping[int, socket.socket]:
    """In the first process: the connections of the `count` others, by rank.

    Raises:
        OSError: one of them did not come.
        LostPeerError: one has come and is gone again.
    """
    host = _own_address(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
    connections: dict[int, socket.socket] = {}
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    ends = time.monotonic() + patience.total_seconds()
    with (
        socket.create_server((host, 0), family=family, backlog=count) as server,
        selectors.DefaultSelector() as selector,
    ):
        store.set(_PLACE, f"{host} {server.getsockname()[1]}")
        selector.register(server, selectors.EVENT_READ)
        while len(connections) < count:
            ready = selector.select(max(0.0, ends - time.monotonic()))
            if not ready:
                raise TimeoutError(f"{count - len(connections)} of {count} others did not come")
            for key, _ in ready:
                if key.fileobj is not server:
                    raise LostPeerError(
                        f"process {key.data} is gone before all {count + 1} have met; start every process again"
                    )
                if (found := _greeted(server, set(range(1, count + 1)) - connections.keys())) is not None:
                    rank, connection = found
                    connections[rank] = connection
                    selector.register(connection, selectors.EVENT_READ, rank)
    return connections


def _greeted(server: socket.socket, expected: Collection[int]) -> tuple[int, socket.socket] | None:
    """The rank of one that connects; None for a stranger, who says none that is expected."""
    connection, _ = server.accept()
    connection.settimeout(_GRACE)
    rank = _heard(connection)
    if rank is None or rank not in expected:
        connection.close()
        return None
    return rank, _kept_alive(connection)


def _connected(store: Store, rank: int) -> socket.socket:
    """In another process: its connection to the first."""
    host, port = store.get(_PLACE).decode().split()
    connection = socket.create_connection((host, int(port)))
    connection.sendall(rank.to_bytes(4, "big"))
    return _kept_alive(connection)


def _own_address(host: str, port: int) -> str:
    """The address of this machine by which the rendezvous, and so every other process, reaches it."""
    with socket.create_connection((host, port)) as probe:
        own: str = probe.getsockname()[0]
    return own


def _kept_alive(connection: socket.socket) -> socket.socket:
    """Without a time limit, and probed by the system where it can."""
    connection.settimeout(None)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEP_ALIVE.items():
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return connection
