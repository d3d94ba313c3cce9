"""Processes that train together: none waits for one that does not come or is gone."""

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from datetime import timedelta

import pytest
import torch.distributed

from pixelflow.runs import checkpoint
from pixelflow.system.distributed import joined
from pixelflow.system.errors import LostPeerError, UsageError
from pixelflow.system.peers import Peers
from tests import processes
from tests.conftest import TINY
from tests.training.test_distributed import free_port

RANKS = {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29999"}
ENDLESS = ("training.steps=1000000", "training.save_every=5", "training.log_every=5", "image.size=8")


@pytest.fixture
def start(tmp_path):
    """Start one process of some that train together; all are killed at the end."""
    (tmp_path / "tiny.yaml").write_text(TINY)
    port, started = free_port(), []

    def process(rank: int, size: int, *overrides: str, code: str = "") -> processes.Process:
        run = f"{code}\nfrom pixelflow.cli.app import main\nmain()"
        command = ["-c", run, "train", str(tmp_path / "tiny.yaml"), *overrides]
        ranks = {"WORLD_SIZE": str(size), "RANK": str(rank), "LOCAL_RANK": str(rank), "MASTER_PORT": str(port)}
        command += ["--out", str(tmp_path), "--run", "run", "--device", "cpu"]
        started.append(processes.start(*command, env=os.environ | RANKS | ranks))
        return started[-1]

    process.port = port
    yield process
    for one in started:
        one.kill()
        one.wait()


def wait_for_port(port: int) -> None:
    while True:
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.1)


def own_lines(process: processes.Process) -> tuple[int, list[str]]:
    """Exit code and errors, once it has ended by itself."""
    _, said = process.communicate(60)
    assert "Traceback" not in said
    return process.returncode, [line for line in said.splitlines() if line.startswith("pixelflow:")]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE is 'two', not a number from 1"),
        ({"WORLD_SIZE": ""}, "WORLD_SIZE is '', not a number"),
        ({"WORLD_SIZE": None, "RANK": "1"}, "WORLD_SIZE is not set, but RANK is '1'"),
        ({"RANK": None}, "RANK is not set, but WORLD_SIZE is '2'"),
        ({"RANK": "2"}, "RANK is '2', not a number from 0 to 1"),
        ({"RANK": "-1"}, "RANK is '-1', not a number from 0 to 1"),
        ({"MASTER_ADDR": None}, "MASTER_ADDR is not set"),
        ({"MASTER_PORT": None}, "MASTER_PORT is not set"),
        ({"MASTER_PORT": "1e3"}, "MASTER_PORT is '1e3', not a number from 0 to 65535"),
    ],
)
def test_variables_that_are_not_whole_are_named(monkeypatch, changed, said):
    for name, value in (RANKS | changed).items():
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match="torchrun --nproc-per-node") as caught, joined("cpu"):
        pass
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("rank", [0, 1])
def test_the_address_at_which_nobody_comes_is_named(start, rank, monkeypatch):
    monkeypatch.setenv("PIXELFLOW_RENDEZVOUS_TIMEOUT", "2")
    process = start(rank, 2)
    code, (line,) = own_lines(process)
    assert code == 74
    assert f"process {rank} of 2 met not all others at 127.0.0.1:" in line
    assert "within 2 seconds" in line


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_who_waits_for_others_can_be_ended(start, number):
    process = start(0, 2)
    wait_for_port(start.port)
    process.send_signal(number)
    assert process.wait(20) == -number


@pytest.mark.slow
def test_a_killed_process_ends_the_others_and_the_same_command_continues(start, tmp_path):
    first, second = (start(rank, 2, *ENDLESS) for rank in range(2))
    first.wait_for("step 20/")
    second.kill()
    code, (line,) = own_lines(first)
    assert code == 74
    assert "process 1 of those that work together is gone" in line
    assert "the same command continues" in line
    reached = checkpoint.steps(tmp_path / "run" / "checkpoints")[-1]
    assert reached >= 15
    pair = [start(rank, 2, *ENDLESS, f"training.steps={reached + 1}") for rank in range(2)]
    assert [own_lines(process) for process in pair] == [(0, []), (0, [])]


def one_of_two(rank: int, port: int, busy: float) -> None:
    """The first process computes for some time and then waits for the second, which is killed meanwhile."""
    os.environ |= RANKS | {"RANK": str(rank), "MASTER_PORT": str(port)}
    try:
        with joined("cpu") as world:
            world.wait()
            if rank == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(busy)
            world.wait()
    except LostPeerError as error:
        sys.exit(error.exit_code)


@pytest.mark.parametrize("busy", [0, 60])
def test_the_first_process_ends_whether_it_waits_or_computes(busy):
    port = free_port()
    codes = processes.forked(one_of_two, [(rank, port, busy) for rank in range(2)], 30)
    assert codes == [74, -signal.SIGKILL]


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1, 2])
@pytest.mark.parametrize("phase", ["training", "drawing"])
def test_whoever_is_killed_whenever_all_others_end(start, killed, phase):
    """Drawing takes hours here: the first process computes and the others wait in a collective."""
    options = ("training.batch_size=9", *ENDLESS)
    if phase == "drawing":
        options += ("training.sample_every=1000000", "training.samples=4", "sampling.steps=100000")
    trio = [start(rank, 3, *options) for rank in range(3)]
    trio[0].wait_for("step 20/" if phase == "training" else "starting at")
    time.sleep(2)
    trio.pop(killed).kill()
    for process in trio:
        code, (line,) = own_lines(process)
        assert code == 74
        assert f"process {killed} of" in line


AT_ONCE = """
from pixelflow.system import stopping
stopping._PATIENCE = 2
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_ends_on_a_signal_though_another_stands_still(start, number):
    """It waits in a collective, in which no handler of Python runs."""
    pair = [start(rank, 2, *ENDLESS, code=AT_ONCE) for rank in range(2)]
    pair[0].wait_for("step 5/")
    pair[1].send_signal(signal.SIGSTOP)
    time.sleep(1)
    pair[0].send_signal(number)
    code, (line,) = own_lines(pair[0])
    assert code == 74
    assert f"{signal.Signals(number).name} came, and another of the processes" in line
    assert "the same command continues" in line


def test_what_one_of_several_cannot_read_is_said_and_the_state_saved(start, tmp_path):
    """The first has nothing to complain of and learns it from the second."""
    broken = """
from pixelflow.system.errors import DataError
from pixelflow.data import digits
sample = digits.Digits.sample
def failing(self, index, generator, count=[0]):
    count[0] += 1
    if count[0] > 80:
        raise DataError("the disk is gone")
    return sample(self, index, generator)
digits.Digits.sample = failing
"""
    options = (*ENDLESS, "training.save_every=1000000", "training.batch_size=8")
    first, second = start(0, 2, *options), start(1, 2, *options, code=broken)
    code, (line,) = own_lines(second)
    (saved,) = checkpoint.steps(tmp_path / "run" / "checkpoints")
    assert saved > 0
    assert (code, line) == (65, f"pixelflow: the disk is gone; step {saved} is saved")
    code, (line,) = own_lines(first)
    assert code == 75
    assert f"stopped after step {saved} and saved" in line


def test_a_signal_ends_what_the_first_process_draws_and_all_stop_together(start, tmp_path):
    """Drawing takes hours here."""
    drawing = ("training.sample_every=3", "training.samples=4", "sampling.steps=100000", "training.save_every=1000000")
    pair = [start(rank, 2, *ENDLESS, *drawing) for rank in range(2)]
    pair[0].wait_for("starting at")
    time.sleep(2)
    for process in pair:
        process.send_signal(signal.SIGTERM)
    said = [own_lines(process) for process in pair]
    assert [code for code, _ in said] == [75, 75]
    (saved,) = checkpoint.steps(tmp_path / "run" / "checkpoints")
    assert f"stopped after step {saved} and saved" in said[0][1][0]


def test_one_that_is_gone_before_all_have_met_is_named(monkeypatch):
    """Strangers who find the port are sent away."""
    store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(store.port))
    failures = []

    def first() -> None:
        try:
            Peers(0, 3, store, timedelta(seconds=60))
        except LostPeerError as error:
            failures.append(str(error))

    waiting = threading.Thread(target=first)
    waiting.start()
    own = torch.distributed.TCPStore("127.0.0.1", store.port)  # who gets through one's connection holds it
    address = own.get("pixelflow/peers").decode().split()
    for stranger in (b"GET / HTTP/1.1", (0).to_bytes(4, "big"), (3).to_bytes(4, "big"), b""):
        with socket.create_connection((address[0], int(address[1]))) as connection:
            connection.sendall(stranger)
    with socket.create_connection((address[0], int(address[1]))) as second:
        second.sendall((2).to_bytes(4, "big"))
    waiting.join(20)
    assert failures == ["process 2 is gone before all 3 have met; start every process again"]
