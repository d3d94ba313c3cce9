"""Files are replaced in one step, whatever stands at their place."""

from __future__ import annotations

import multiprocessing
import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pixelflow.system.errors import CannotWriteError, DataError, UsageError
from pixelflow.system.files import locked, read_bytes, write_bytes, write_text


def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path):
    for text in ("old", "new"):
        write_text(tmp_path / "a.txt", text)
    assert (tmp_path / "a.txt").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_link_stays_and_its_file_is_replaced(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_text("old")
    (tmp_path / "link").symlink_to("elsewhere/file")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "elsewhere" / "file").read_text() == "new"


def test_a_pipe_is_written_into_and_stays_one(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_bytes(pipe, b"through")
    reader.join(timeout=10)
    assert read == [b"through"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_folder_is_refused_and_kept(tmp_path):
    with pytest.raises(CannotWriteError, match="cannot be written"):
        write_text(tmp_path, "text")
    assert tmp_path.is_dir()


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_what_fails_half_way_keeps_the_old_file(failing, tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "a.txt").write_text("old")
    monkeypatch.setattr(os, failing, full)
    with pytest.raises(CannotWriteError, match=r"a.txt: cannot be written \(No space left on device\)"):
        write_text(tmp_path / "a.txt", "new")
    monkeypatch.undo()
    assert (tmp_path / "a.txt").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


HOLDER = """
import multiprocessing, os, sys, time
from pathlib import Path
from pixelflow.system.files import locked

def live():
    print(os.getpid(), flush=True)
    time.sleep(60)

if __name__ == "__main__":
    with locked(Path(sys.argv[1]), "busy"):
        multiprocessing.get_context(sys.argv[2]).Process(target=live).start()
        time.sleep(60)
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_lock_ends_with_a_killed_process_though_its_children_live(method, tmp_path):
    script = tmp_path / "holder.py"
    script.write_text(HOLDER)
    holder = subprocess.Popen([sys.executable, script, tmp_path, method], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    child = int(holder.stdout.readline())
    try:
        with pytest.raises(UsageError, match="busy"), locked(tmp_path, "busy"):
            pass
        holder.kill()
        holder.wait()
        os.kill(child, 0)  # it lives
        with locked(tmp_path, "busy"):
            pass
    finally:
        os.kill(child, 9)


def test_a_child_that_ends_takes_no_lock_away(tmp_path):
    with locked(tmp_path, "busy"):
        child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(0,))
        child.start()
        child.join()
        with pytest.raises(UsageError, match="busy"), locked(tmp_path, "busy"):
            pass


def test_a_bound_takes_no_memory(tmp_path):
    """Readers of Python's take what they are asked for, before they know how much there is."""
    (tmp_path / "small").write_bytes(b"ab")
    assert read_bytes(tmp_path / "small", 1 << 60) == b"ab"
    (tmp_path / "large").write_bytes(bytes(3 << 20))
    assert len(read_bytes(tmp_path / "large", 3 << 20)) == 3 << 20
    with pytest.raises(DataError, match="is larger than 2 bytes"):
        read_bytes(tmp_path / "large", 2)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_files_that_tell_no_size_are_read():
    assert b"Pid:" in read_bytes(Path("/proc/self/status"), 1 << 20)
