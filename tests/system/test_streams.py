"""Pipes that a command line names: read to their end where somebody writes, refused where nobody does."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from pixelflow.core.reading import read_document
from pixelflow.generation.prompt_files import read_prompts
from pixelflow.system import streams
from pixelflow.system.errors import DataError
from pixelflow.system.streams import read_start

WRITE = "import sys, time; out = open(sys.argv[1], 'w'); time.sleep(1); out.write('a: ' + 'x' * 100_000); out.close()"


@pytest.fixture
def pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


@pytest.mark.parametrize("read", [read_document, read_prompts])
def test_a_pipe_into_which_nobody_writes_is_refused(pipe, read, monkeypatch):
    monkeypatch.setattr(streams, "_PATIENCE", 0.2)
    with pytest.raises(DataError, match="pipe: is a pipe into which nobody writes"):
        read(pipe)


def test_a_writer_that_takes_its_time_is_read_to_its_end(pipe):
    with subprocess.Popen([sys.executable, "-c", WRITE, str(pipe)]):
        assert read_document(pipe).data == {"a": "x" * 100_000}


def test_no_more_is_read_than_is_asked_for(tmp_path):
    (tmp_path / "file").write_bytes(bytes(100))
    assert read_start(tmp_path / "file", 10) == bytes(10)
    assert read_start(tmp_path / "file", 1000) == bytes(100)


def test_the_shells_own_pipes(tmp_path):
    """One writer has ended before it is read, one has written nothing."""
    code = "import sys; from pixelflow.system.streams import read_start; print(read_start(sys.argv[1], 99))"
    for command, expected in (("printf abc", b"abc"), ("true", b""), ("sleep 1; printf late", b"late")):
        shell = f"exec {sys.executable} -c '{code}' <({command})"
        done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=60)
        assert done.stdout.strip() == repr(expected), done.stderr
