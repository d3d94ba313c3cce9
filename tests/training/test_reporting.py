"""What a person sees, and the lines of metrics behind it."""

import io
import re
import sys

import pytest
import torch

from pixelflow.training import metrics, reporting
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
    with make_progress(100, 0, 8, silent=False) as progress:
        assert isinstance(progress, Bar)
        progress.advance(50)
        progress.show(LINE, 61)
        progress.say("drew [pictures]")
    said = terminal.getvalue()
    for expected in ("50/100", "loss 0.2500", "1234 images/s", "1:01 min left", "drew [pictures]"):
        assert expected in said


@pytest.mark.parametrize(
    ("columns", "has_bar", "words"),
    [(100, True, "left"), (72, True, "left"), (45, False, "loss 0.2500"), (20, False, "")],
)
def test_on_a_narrow_terminal_the_bar_gives_way_then_the_words_and_never_the_counter(
    monkeypatch, columns, has_bar, words
):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(columns))
    with make_progress(10**3, 0, 8, silent=False) as progress:
        progress.advance(500)
        progress.show(LINE, 61)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue()).strip("\r\n").split("\r")[-1].split("\n")[-1]
    assert "500/1000" in shown
    assert ("\u2501" in shown) == has_bar
    assert words in shown
    assert len(shown.rstrip()) <= columns - 2, "where ^C has no room, the terminal breaks the line"


def test_speed_and_time_left_are_told_before_the_first_metrics(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(reporting, "_SOON", 0.0)
    with make_progress(101, 0, 8, silent=False) as progress:
        for step in (1, 2, 3):
            progress.advance(step)
    assert re.search(r"\S+ images/s  \S+ s left", terminal.getvalue())


def test_a_file_gets_plain_lines(monkeypatch, capsys):
    with make_progress(100, 0, 8, silent=False) as progress:
        assert isinstance(progress, Lines)
        progress.advance(50)
        progress.show(LINE, 61)
    assert capsys.readouterr().err == "step 50/100  loss 0.2500  1234 images/s  1:01 min left\n"


def test_other_processes_are_silent(capsys):
    with make_progress(100, 0, 8, silent=True) as progress:
        assert isinstance(progress, Silence)
        progress.show(LINE, 61)
        progress.say("drew")
    assert capsys.readouterr().err == ""


def test_a_line_holds_means_over_images_and_stages():
    window = metrics.MetricAverages()
    for step, (loss, images, norm) in enumerate([(2.0, 4, 1.0), (1.0, 2, 3.0)], start=1):
        figures = metrics.StepFigures(step, torch.tensor([[loss, 0.0], [images, 0]]), torch.tensor(norm))
        figures.seconds = float(step)
        assert window.add(figures) is None
    line = window.line(step=2, learning_rate=0.1)
    assert line["loss"] == 0.5
    assert line["loss_by_stage"] == [0.5, None]
    assert (line["gradient_norm"], line["images_per_second"], line["learning_rate"]) == (2.0, 2.0, 0.1)
