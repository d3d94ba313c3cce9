"""Curves of the loss: from metrics as they are written, read on, and drawn."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from pixelflow.cli.app import main
from pixelflow.system.errors import PreemptedError
from pixelflow.training import curves
from pixelflow.training.curves import Course, Curves
from tests.conftest import TINY, make_run, make_spec
from tests.training.test_resume import stop_at


@pytest.fixture(autouse=True)
def no_loss_pictures() -> None:
    """Here they are drawn."""


def line(step: int, loss: float) -> str:
    return json.dumps({"step": step, "loss": loss, "loss_by_stage": [loss, None], "learning_rate": 1e-3}) + "\n"


def held_out(step: int, loss: float) -> str:
    return json.dumps({"step": step, "held_out": {"loss": loss, "averaged_loss": 2 * loss}}) + "\n"


def call(capsys, *arguments) -> tuple[int, str]:
    with pytest.raises(SystemExit) as stopped:
        main(["plot", *map(str, arguments)])
    captured = capsys.readouterr()
    return int(stopped.value.code or 0), captured.out + captured.err


def test_a_course_is_read_on_and_survives_cut_lines(tmp_path):
    file = tmp_path / "metrics.jsonl"
    course = Course(file)
    course.read_on()
    file.write_text(line(1, 2.0) + "not json\n" + held_out(1, 1.5) + '{"step": 2, "lo')
    course.read_on()
    assert (course.trained, course.held_out, course.averaged) == ([(1, 2.0)], [(1, 1.5)], [(1, 3.0)])
    assert course.by_stage == {0: [(1, 2.0)]}
    file.write_text(file.read_text().rpartition("\n")[0] + "\n" + line(2, 1.0))
    course.read_on()
    assert course.trained == [(1, 2.0), (2, 1.0)]


def test_a_course_that_was_taken_back_is_read_anew(tmp_path):
    """A killed training goes on from its checkpoint, and writes the lines after it once more."""
    file = tmp_path / "metrics.jsonl"
    course = Course(file)
    file.write_text(line(1, 2.0) + held_out(1, 1.5) + line(2, 1.0) + line(3, 0.5))
    course.read_on()
    file.write_text(line(1, 2.0) + held_out(1, 1.5))
    course.read_on()
    assert (course.trained, course.held_out, course.averaged) == ([(1, 2.0)], [(1, 1.5)], [(1, 3.0)])
    assert course.by_stage == {0: [(1, 2.0)]}


def test_long_courses_are_averaged():
    steps, losses = curves._columns([(step, float(step % 2)) for step in range(10_000)])
    assert len(steps) == 1000
    assert set(losses) == {0.5}
    assert steps[-1] == 9999


def test_runs_in_one_picture_and_a_run_in_its_folder(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        make_run(tmp_path / name, make_spec())
        (tmp_path / name / "metrics.jsonl").write_text("".join(line(step, 10 / step) for step in range(1, 50)))
    with (tmp_path / "two" / "metrics.jsonl").open("a") as file:
        file.write(held_out(30, 0.5) + held_out(49, 0.4))
    assert call(capsys, "one") == (0, "one/loss.png\n")
    assert call(capsys, "one", "two", "--out", "both.png") == (0, "both.png\n")
    alone, both = (np.asarray(Image.open(name).convert("RGB")) for name in ("one/loss.png", "both.png"))
    assert alone.shape == both.shape
    assert (alone != both).any()
    assert [call(capsys, "one", "two") for _ in range(2)] == [(0, "loss.png\n"), (0, "loss-2.png\n")]
    code, told = call(capsys, "one", "--out", "both.png")
    assert (code, told.count("\n")) == (73, 1)
    assert "both.png: is there already, and nothing is replaced" in told


def test_a_run_without_losses_is_one_line(tmp_path, capsys):
    make_run(tmp_path / "run", make_spec())
    code, told = call(capsys, tmp_path / "run")
    assert (code, told.count("\n")) == (65, 1)
    assert "its metrics hold no losses" in told
    assert call(capsys, tmp_path / "nowhere")[0] == 66


def test_training_goes_on_where_the_picture_cannot_be_drawn(tmp_path, monkeypatch, caplog):
    (tmp_path / "metrics.jsonl").write_text(line(1, 2.0))
    drawing = Curves(tmp_path)
    monkeypatch.setattr(curves, "plot", lambda *given: 1 / 0)
    drawing.draw()
    (tmp_path / "metrics.jsonl").write_text(line(1, 2.0) + line(2, 1.0))
    drawing.draw()
    assert caplog.messages == ["no picture of the loss: division by zero"]


def test_training_draws_its_own(tmp_path, capsys):
    spec = tmp_path / "tiny.yaml"
    spec.write_text(TINY)
    with pytest.raises(SystemExit) as stopped:
        main(["train", str(spec), "training.sample_every=4", "--out", str(tmp_path / "runs"), "--device", "cpu"])
    assert not stopped.value.code
    assert Image.open(tmp_path / "runs" / "tiny" / "loss.png").size == (990, 550)


def test_the_picture_is_of_all_steps_at_every_end_without_previews_too(trained, monkeypatch):
    """A stop is one: the steps since the last preview are in it."""
    spec = ("training.sample_every=null", "training.steps=5")
    with monkeypatch.context() as patch:
        stop_at(patch, 3)
        with pytest.raises(PreemptedError):
            trained("run", *spec)
    run = trained("whole", *spec)
    stopped = (run.path.parent / "run" / "loss.png").read_bytes()
    assert trained("run", *spec).path.joinpath("loss.png").read_bytes() != stopped
    again = Curves(run.path)
    before = (run.path / "loss.png").read_bytes()
    (run.path / "loss.png").unlink()
    again.draw()
    assert (run.path / "loss.png").read_bytes() == before, "of the last line too"
