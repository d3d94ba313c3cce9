"""Pictures in terminals: what a pseudo-terminal is sent, and that nothing else gets any."""

from __future__ import annotations

import base64
import io
import os
import re
import threading
from pathlib import Path

import pytest
from PIL import Image

from pixelflow.cli import previews

PIXELS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)]


@pytest.fixture
def picture(tmp_path) -> Path:
    """2 x 2 pixels."""
    image = Image.new("RGB", (2, 2))
    image.putdata(PIXELS)
    image.save(tmp_path / "grid.png")
    return tmp_path / "grid.png"


def sent(file: Path, **environment: str) -> str:
    """What a terminal gets."""
    master, slave = os.openpty()
    got: list[bytes] = []

    def read() -> None:
        while not b"".join(got).endswith(b"end"):
            got.append(os.read(master, 65536))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    with os.fdopen(slave, "w", encoding="utf-8") as terminal:
        previews.show(file, terminal, environment)
        terminal.write("end")
        terminal.flush()
        reader.join(30)
    os.close(master)
    return b"".join(got).decode().replace("\r\n", "\n").removesuffix("end")


def test_kitty_gets_the_file_in_pieces(tmp_path):
    noise = Image.frombytes("RGB", (64, 64), os.urandom(64 * 64 * 3))
    noise.save(tmp_path / "grid.png")
    pieces = re.findall(r"\033_G([^;]*);([^\033]*)\033\\", sent(tmp_path / "grid.png", KITTY_WINDOW_ID="1"))
    assert len(pieces) > 1
    assert [keys for keys, _ in pieces] == ["a=T,f=100,m=1", *["m=1"] * (len(pieces) - 2), "m=0"]
    assert all(len(text) <= 4096 for _, text in pieces)
    assert base64.b64decode("".join(text for _, text in pieces)) == (tmp_path / "grid.png").read_bytes()


def test_iterm_gets_the_file_whole(picture):
    (size, text) = re.findall(
        r"\033\]1337;File=inline=1;size=(\d+):([^\a]*)\a", sent(picture, TERM_PROGRAM="iTerm.app")
    )[0]
    assert base64.b64decode(text) == picture.read_bytes()
    assert int(size) == picture.stat().st_size


def test_half_blocks_hold_two_pixels_each(picture):
    got = sent(picture, PIXELFLOW_PREVIEW="blocks")
    cells = re.findall(r"\033\[38;2;(\d+;\d+;\d+);48;2;(\d+;\d+;\d+)m▀", got)
    assert cells == [("255;0;0", "0;0;255"), ("0;255;0", "255;255;255")]


@pytest.mark.parametrize(
    "environment",
    [{}, {"TERM": "xterm-256color"}, {"KITTY_WINDOW_ID": "1", "PIXELFLOW_PREVIEW": "none"},
     {"KITTY_WINDOW_ID": "1", "TMUX": "/tmp/tmux"}],
)  # fmt: skip
def test_other_terminals_get_nothing(picture, environment):
    assert sent(picture, **environment) == ""


def test_what_is_no_terminal_gets_nothing_and_a_lost_picture_is_no_error(picture, tmp_path):
    out = io.StringIO()
    previews.show(picture, out, {"KITTY_WINDOW_ID": "1"})
    assert out.getvalue() == ""
    assert sent(tmp_path / "none.png", KITTY_WINDOW_ID="1") == ""
