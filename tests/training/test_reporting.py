"""What a person sees, and the lines of metrics behind it."""

import io
import sys

import pytest

from pixelflow.training import metrics
from pixelflow.training.reporting import Bar, Lines, Silence, duration, make_progress

LINE = {"step": 50, "loss": 0.25, "images_per_second": 1234.5}


@pytest.mark.parametrize(("seconds", "text"), [(3.4, "3 s"), (125, "2:05 min"), (3723, "1:02:03 h")])
def test_durations_read_well(seconds, text):
    assert duration(seconds) == text


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar_with_loss_speed_and_time_left(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with make_progress(100, 0, silent=False) as progress:
        assert isinstance(progress, Bar)
        progress.advance(50)
        progress.show(LINE, 61)
        progress.say("drew [pictures]")
    said = terminal.getvalue()
    for expected in ("50/100", "loss 0.2500", "1234 images/s", "1:01 min left", "drew [pictures]"):
        assert expected in said


def test_a_file_gets_plain_lines(monkeypatch, capsys):
    with make_progress(100, 0, silent=False) as progress:
        assert isinstance(progress, Lines)
        progress.advance(50)
        progress.show(LINE, 61)
    assert capsys.readouterr().err == "step 50/100  loss 0.2500  1234 images/s  1:01 min left\n"


def test_other_processes_are_silent(capsys):
    with make_progress(100, 0, silent=True) as progress:
        assert isinstance(progress, Silence)
        progress.show(LINE, 61)
        progress.say("drew")
    assert capsys.readouterr().err == ""


def test_a_line_holds_means_over_images_and_stages():
    window = metrics.Window()
    window.add([2.0, 0.0], [4, 0], gradient_norm=1.0, seconds=1.0)
    window.add([1.0, 0.0], [2, 0], gradient_norm=3.0, seconds=2.0)
    line = window.line(step=2, learning_rate=0.1)
    assert line["loss"] == 0.5
    assert line["loss_by_stage"] == [0.5, None]
    assert (line["gradient_norm"], line["images_per_second"], line["learning_rate"]) == (2.0, 2.0, 0.1)


def test_truncation_keeps_whole_lines_up_to_the_step(tmp_path):
    path = tmp_path / "metrics.jsonl"
    metrics.truncate(path, 3)
    assert not path.exists()
    for step in (1, 2, 3, 4):
        metrics.append(path, {"step": step})
    with path.open("ab") as file:
        file.write(b'\xff{"step"')
    metrics.truncate(path, 3)
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n{"step": 3}\n'
