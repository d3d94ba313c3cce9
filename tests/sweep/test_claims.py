"""A claim has one holder, within a machine and between machines; machines are processes with names of their own."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time

import pytest

from pixelflow.sweep.work import claims
from pixelflow.sweep.work.claims import Claim
from pixelflow.system.errors import PreemptedError

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def on_machine(monkeypatch):
    """Start a process on a machine of this name; it is killed at the end."""
    monkeypatch.setattr(claims, "LEASE", 1.0)
    monkeypatch.setattr(claims, "_BEAT", 0.05)
    started = []

    def start(name: str, target, *arguments):
        def act() -> None:
            claims.MACHINE = name
            target(*arguments)

        process = FORK.Process(target=act)
        process.start()
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.join()


def hold(folder, connection, seconds: float) -> None:
    with Claim(folder).held() as mine:
        connection.send(mine)
        time.sleep(seconds)


@pytest.fixture
def holder(on_machine, tmp_path):
    """A process of another machine that holds the claim."""

    def begin(seconds: float = 60):
        here, there = FORK.Pipe()
        process = on_machine("another machine", hold, tmp_path, there, seconds)
        assert here.recv() is True
        return process

    return begin


def is_free(folder) -> bool:
    with Claim(folder).held() as mine:
        return mine


def test_a_claim_is_given_back(tmp_path):
    claim = Claim(tmp_path)
    assert not claim.is_held
    with claim.held() as mine:
        assert mine
        assert claim.is_held
        assert claim.was_held_by(os.getpid())
        assert not is_free(tmp_path)
    assert not claim.is_held
    assert is_free(tmp_path)


def test_another_machine_keeps_it_as_long_as_it_lives(holder, tmp_path):
    holder()
    began = time.monotonic()
    while time.monotonic() - began < 1.5 * claims.LEASE:
        assert Claim(tmp_path).is_held
        assert not is_free(tmp_path)
        time.sleep(0.05)


def test_another_machine_gives_it_back(holder, tmp_path):
    holder(seconds=0).join()
    assert not Claim(tmp_path).is_held
    assert is_free(tmp_path)


def hold_with_a_child(folder, connection) -> None:
    """As a worker whose training reads data in processes."""
    with Claim(folder).held():
        child = FORK.Process(target=hold_nothing, args=(connection,))
        child.start()
        time.sleep(60)


def hold_nothing(connection) -> None:
    connection.send(os.getpid())
    time.sleep(60)


def test_a_killed_process_of_this_machine_holds_nothing_though_its_children_live(on_machine, tmp_path):
    here, there = FORK.Pipe()
    process = on_machine(claims.MACHINE, hold_with_a_child, tmp_path, there)
    child = here.recv()
    try:
        assert Claim(tmp_path).is_held
        process.kill()
        process.join()
        os.kill(child, 0)  # it lives
        assert not Claim(tmp_path).is_held
        assert is_free(tmp_path)
    finally:
        os.kill(child, signal.SIGKILL)


def test_whoever_asks_keeps_nobody_from_holding(tmp_path):
    """The question takes the lock for a moment."""
    claim, stop = Claim(tmp_path), threading.Event()
    with claim.held():
        pass
    asking = [threading.Thread(target=lambda: [claim.is_held for _ in iter(stop.is_set, True)]) for _ in range(2)]
    for thread in asking:
        thread.start()
    try:
        assert sum(is_free(tmp_path) for _ in range(100)) > 90
    finally:
        stop.set()
        for thread in asking:
            thread.join()


def test_a_machine_that_died_holds_it_until_its_lease_ends(holder, tmp_path):
    holder().kill()
    ended = time.monotonic()
    assert not is_free(tmp_path)
    with Claim(tmp_path).awaited():
        assert time.monotonic() - ended > 0.4
    assert len(list(tmp_path.glob(".claim-*"))) == 1


def test_a_holder_that_stood_still_too_long_ends_itself(holder, tmp_path):
    process = holder()
    os.kill(process.pid, signal.SIGSTOP)
    with Claim(tmp_path).awaited():
        os.kill(process.pid, signal.SIGCONT)
        process.join(5)
        assert process.exitcode == PreemptedError.exit_code


def enter_often(folder, times: int) -> None:
    for _ in range(times):
        with Claim(folder).awaited():
            inside = folder / "inside"
            inside.touch(exist_ok=False)
            time.sleep(0.001)
            inside.unlink()


def test_machines_and_processes_take_turns(on_machine, tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "_POLL", 0.002)
    crowd = [on_machine(name, enter_often, tmp_path, 25) for name in ("machine a", "machine b") for _ in range(2)]
    for process in crowd:
        process.join(30)
    assert [process.exitcode for process in crowd] == [0] * 4
    assert max(tmp_path.glob(".claim-*")).name == ".claim-000000099"
