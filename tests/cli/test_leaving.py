"""How a process ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

ABORTING = """
import atexit, os, sys
from pixelflow.cli.leaving import leave

class Aborts:
    def __del__(self, abort=os.abort):
        abort()

sys.modules["aborts"] = Aborts()
atexit.register(print, "atexit")
print("written")
leave(75)
sys.exit(75)
"""
"""Something aborts while the interpreter is taken apart, as threads of a process group may."""


@pytest.mark.parametrize(("size", "code"), [("1", -signal.SIGABRT), ("2", 75)])
def test_one_of_several_processes_ends_before_the_interpreter_is_taken_apart(size, code):
    command = [sys.executable, "-c", ABORTING]
    done = subprocess.run(command, env=os.environ | {"WORLD_SIZE": size}, stdout=subprocess.PIPE, text=True)
    assert (done.returncode, done.stdout) == (code, "written\natexit\n")


WAITING = """
import atexit, sys, time, weakref
from pixelflow.cli.leaving import leave

class Kept: ...

kept = Kept()
weakref.finalize(kept, lambda: (print("leaves", flush=True), time.sleep(60)))
leave(0)
"""
"""Finalizers take their time, as torch's do."""


@pytest.mark.parametrize("size", ["1", "2"])
def test_an_interrupt_at_the_end_is_no_traceback(size):
    command = [sys.executable, "-c", WAITING]
    with subprocess.Popen(
        command, env=os.environ | {"WORLD_SIZE": size}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "leaves\n"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (-signal.SIGINT, "")
