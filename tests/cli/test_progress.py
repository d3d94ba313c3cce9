"""Bars on a terminal: results that are printed meanwhile stay to be read, or go where standard output goes."""

from __future__ import annotations

import os
import pty
import re
import sys
import threading
import time

import pytest

from pixelflow.cli.progress import bars


class Terminal:
    """A pseudo-terminal and what is to be seen on it at the end."""

    def __init__(self) -> None:
        self._master, slave = pty.openpty()
        self.file = os.fdopen(slave, "w")
        self._sent = b""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                self._sent += os.read(self._master, 4096)
            except OSError:
                return

    def lines(self) -> list[str]:
        """The screen, from what was sent: text, returns, and rich's two codes: erase the line, go up."""
        self.file.close()
        self._reader.join(timeout=10)
        os.close(self._master)
        screen, row, column = [""], 0, 0
        for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", self._sent.decode()):
            if part == "\n":
                row += 1
                screen += [""] * (row == len(screen))
            elif part == "\r":
                column = 0
            elif part == "\x1b[2K":
                screen[row] = ""
            elif part == "\x1b[1A":
                row -= 1
            elif not part.startswith("\x1b"):
                screen[row] = screen[row][:column].ljust(column) + part + screen[row][column + len(part) :]
                column += len(part)
        return [line.rstrip() for line in screen]


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    return Terminal()


def work() -> None:
    """Two bars, and a result of two lines after each."""
    with bars() as tell:
        for name in ("first", "second"):
            tell(name, 1, 2)
            time.sleep(0.15)  # bars are drawn ten times a second
            tell(name, 2, 2)
            tell.say(f"{name} result", "  value  1")
            time.sleep(0.15)


def test_results_stay_above_the_bars(terminal, monkeypatch):
    monkeypatch.setattr(sys, "stderr", terminal.file)
    monkeypatch.setattr(sys, "stdout", terminal.file)
    work()
    lines = terminal.lines()
    assert lines[:4] == ["first result", "  value  1", "second result", "  value  1"]
    assert [line.split()[:2] for line in lines[4:] if line] == [["first", "2/2"], ["second", "2/2"]]


def test_results_go_into_a_file_while_bars_are_on_the_terminal(terminal, tmp_path, monkeypatch):
    with (tmp_path / "out.txt").open("w") as file:
        monkeypatch.setattr(sys, "stderr", terminal.file)
        monkeypatch.setattr(sys, "stdout", file)
        work()
    assert (tmp_path / "out.txt").read_text() == "first result\n  value  1\nsecond result\n  value  1\n"
    assert "result" not in "".join(terminal.lines())


def test_without_a_terminal_there_are_results_only(capsys):
    work()
    captured = capsys.readouterr()
    assert captured.out.splitlines() == ["first result", "  value  1", "second result", "  value  1"]
    assert captured.err == ""
