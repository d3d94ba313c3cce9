"""Several processes that work together, as ``torchrun`` starts them: how they meet and part.

What they do together is `parallel.Parallel`'s.
"""

from __future__ import annotations

import functools
import itertools
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from pixelflow.system import terminal
from pixelflow.system.device import choose_device
from pixelflow.system.errors import LostPeerError, PixelflowError, UsageError, first_line
from pixelflow.system.parallel import Parallel
from pixelflow.system.peers import Peers
from pixelflow.system.stopping import killable

TIMEOUT_VARIABLE = "PIXELFLOW_RENDEZVOUS_TIMEOUT"
"""Environment variable with the seconds for which processes wait for each other at the start."""
_PATIENCE = 180
"""Without it: one that is killed before it has met the others cannot be told from one that has not started yet."""
_TOLD_AFTER = 10.0
"""Seconds of waiting after which it is told."""
_LONGEST_WAIT = timedelta(days=1)
"""While the first process draws pictures or evaluates, the others wait for it; `Peers` knows if it is gone."""
_MEETINGS = itertools.count()
_START = "start by: torchrun --nproc-per-node N -m pixelflow -- train SPEC; to work with one process, unset WORLD_SIZE"


@contextmanager
def joined(device: str | None) -> Iterator[Parallel]:
    """The processes that torchrun's variables describe; a process alone is the only one.

    At the end they part, but torch's process groups live as long as the process, and who joins again has them again:
    gloo's threads are joined where a group is destroyed, by a thread that holds Python's lock, and one of them may wait
    for that lock to let go of the last collective's tensors (torch 2.13).

    Raises:
        UsageError: there is no such device here, or the variables are not whole.
        LostPeerError: another process did not come, or is gone.
    """
    is_alone = "WORLD_SIZE" not in os.environ
    if is_alone and os.environ.get("RANK", "0") != "0":
        raise UsageError(f"WORLD_SIZE is not set, but RANK is {os.environ['RANK']!r}; {_START}")
    if is_alone or (size := _number("WORLD_SIZE", range(1, 2**31))) == 1:
        yield Parallel(choose_device(device))
        return
    rank = _number("RANK", range(size))
    if device is None and torch.cuda.is_available():
        device = f"cuda:{_number('LOCAL_RANK', range(size))}"
    own = choose_device(device)
    if own.type == "cuda":
        torch.cuda.set_device(own)
    peers = _met(own, rank, size)
    try:
        yield Parallel(own, rank, size, _number("LOCAL_WORLD_SIZE", range(1, size + 1), size))
        peers.leave()
    except PixelflowError:
        raise
    except Exception as error:  # what a collective raises depends on backend, version and system
        if (lost := peers.error()) is not None:
            raise lost from error
        raise


def _met(device: torch.device, rank: int, size: int) -> Peers:
    """Meet the other processes at the address that the variables tell."""
    if not os.environ.get("MASTER_ADDR"):
        raise UsageError(f"MASTER_ADDR is not set, the address of the machine of process 0; {_START}")
    at = f"{os.environ['MASTER_ADDR']}:{_number('MASTER_PORT', range(2**16))} (MASTER_ADDR:MASTER_PORT)"
    seconds = _number(TIMEOUT_VARIABLE, range(1, 86_401)) if TIMEOUT_VARIABLE in os.environ else _PATIENCE
    patience = timedelta(seconds=seconds)
    waiting = f"process {rank} waits for the others of {size} at {at}, {seconds} s at most"
    told = threading.Timer(_TOLD_AFTER, terminal.say, [f"pixelflow: {waiting}; {TIMEOUT_VARIABLE} sets another limit"])
    told.daemon = True
    told.start()
    try:
        with killable():
            store = _store(rank, size, patience)
            peers = Peers(rank, size, PrefixStore(f"{next(_MEETINGS)}", store), patience)
            if not dist.is_initialized():
                backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"  # flags and objects need no GPU
                dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=_LONGEST_WAIT)
    except (dist.DistError, OSError) as error:
        reason = first_line(error)
        if "EADDRINUSE" in reason:
            raise UsageError(f"{at} is used by another program; set another MASTER_PORT") from None
        raise LostPeerError(
            f"process {rank} of {size} met not all others at {at} within {seconds} seconds; "
            f"start every process and see that this address can be reached ({reason})"
        ) from None
    finally:
        told.cancel()
    return peers


@functools.cache
def _store(rank: int, size: int, patience: timedelta) -> Store:
    """What all processes share, once in a process's life: the address is taken for as long."""
    store: Store = next(rendezvous("env://", rank, size, timeout=patience))[0]
    return store


def _number(name: str, among: range, default: int | None = None) -> int:
    """An environment variable that holds a number."""
    value = os.environ.get(name)
    if value is None and default is not None:
        return default
    if value is None:
        raise UsageError(f"{name} is not set, but WORLD_SIZE is {os.environ['WORLD_SIZE']!r}; {_START}")
    if not (value.isascii() and value.isdigit() and len(value) < 12 and int(value) in among):
        raise UsageError(f"{name} is {value!r}, not a number from {among[0]} to {among[-1]}; {_START}")
    return int(value)
