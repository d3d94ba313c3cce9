"""What the page does, without a browser: choices, frames, the form of a spec, trainings of its own."""

from __future__ import annotations

import errno
import json
import os
import shlex
import shutil
import socket
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pixelflow.cli.app import main
from pixelflow.core.spec_files import read_spec
from pixelflow.generation.animation import write_frames
from pixelflow.generation.editing import Edit
from pixelflow.generation.interpolation import between
from pixelflow.generation.orders import Order
from pixelflow.generation.pictures import to_pil, to_uint8
from pixelflow.generation.run import Run
from pixelflow.runs.summary import is_training, summary
from pixelflow.system.errors import DataError, PixelflowError, SpecError, UsageError
from pixelflow.ui.choices import Choices, Way
from pixelflow.ui.curves import guidance_weights
from pixelflow.ui.drawing import Watched, difference, varied_grid
from pixelflow.ui.edit_tab import fitted
from pixelflow.ui.processes import Trainings
from pixelflow.ui.shelf import Shelf
from pixelflow.ui.telling import line_of
from pixelflow.ui.train_tab import rows_of, spec_of
from tests.conftest import CLASSES, TINY, make_run, make_spec


@pytest.fixture(scope="module")
def shelf(tmp_path_factory) -> Shelf:
    folder = tmp_path_factory.mktemp("page") / "runs"
    folder.mkdir()
    for seed, name in enumerate(("first", "second", "third")):
        make_run(folder / name, make_spec(f"name={name}"), seed=seed)
        os.utime(folder / name / "spec.yaml", (1000 + seed, 1000 + seed))
    return Shelf(folder, "cpu")


@pytest.fixture(scope="module")
def run(shelf):
    return shelf.open("first")


CHOICES = Choices(labels=("3", "1"), seed=5, count=3, steps="1,2", guidance="2", sampler="euler")


def test_the_shelf_lists_what_was_trained_last_first_and_keeps_two_models_open(shelf):
    assert shelf.names() == ["third", "second", "first"]
    first = shelf.open("first")
    assert shelf.open("second") is not first
    assert shelf.open("first") is first
    shelf.open("third")
    assert shelf.open("first") is first
    assert shelf.open("second").source.run.endswith("second")
    assert len(shelf._opened) == 2


def test_a_run_that_took_the_place_of_another_is_opened_anew(tmp_path):
    """It was removed and trained again to the same step; the page must not go on with the weights that are gone."""
    shelf = Shelf(tmp_path)
    make_run(tmp_path / "again", make_spec(), seed=0)
    before, written = shelf.open("again"), shelf.written("again")
    shutil.rmtree(tmp_path / "again")
    make_run(tmp_path / "again", make_spec(), seed=5, classes=CLASSES[::-1])
    after = shelf.open("again")
    assert shelf.written("again") != written
    assert after.source.sha256 != before.source.sha256
    assert after.classes == CLASSES[::-1]
    assert shelf.open("again") is after


def test_checkpoints_can_be_chosen_and_a_new_one_is_newest(shelf):
    assert shelf.checkpoints("first") == ["newest", "7"]
    assert shelf.open("first", "7", "raw").source.weights == "raw"
    assert shelf.weights("first") == ["ema", "raw"]
    with pytest.raises(PixelflowError, match="step 9"):
        shelf.open("first", "9")


def test_averages_that_a_run_follows_can_be_chosen(tmp_path):
    make_run(tmp_path / "long", make_spec("training.power_ema={lengths: [0.05, 0.1]}"))
    assert Shelf(tmp_path).weights("long") == ["ema", "raw", "0.05", "0.1"]
    with pytest.raises(PixelflowError, match="average"):
        Shelf(tmp_path, "cpu").open("long", weights="0.1")  # no snapshot is there yet


def test_a_run_that_was_moved_is_a_line(tmp_path):
    shelf = Shelf(tmp_path)
    make_run(tmp_path / "here", make_spec())
    assert shelf.names() == ["here"]
    (tmp_path / "here").rename(tmp_path / "there")
    with pytest.raises(PixelflowError, match="here"):
        shelf.open("here")
    assert shelf.names() == ["there"]


def test_no_run_is_a_line_that_says_how_to_make_one(tmp_path):
    shelf = Shelf(tmp_path)
    assert shelf.names() == []
    with pytest.raises(UsageError, match="pixelflow train"):
        shelf.open(None)


def test_frames_end_in_the_images_that_python_draws(run):
    frames = list(Watched(run, CHOICES))
    expected = run.draw(labels=["3", "1"], seed=5, count=3, steps=[1, 2], guidance=2.0, sampler="euler")
    assert torch.equal(frames[-1].result.images, expected.images)
    assert all(frame.strip is not None and frame.result is None for frame in frames[:-1])
    assert frames[-1].strip.width > frames[0].strip.width  # a stage more
    assert "2 + 4 NFE" in frames[-1].told


def test_stop_ends_the_drawing_before_its_end(run):
    watched = Watched(run, replace(CHOICES, steps="60,60"))
    frames = []
    for frame in watched:
        frames.append(frame)
        watched.stop()
    assert frames[-1].told.startswith("stopped")
    assert all(frame.result is None for frame in frames)


def test_what_goes_wrong_is_the_command_lines_own_line(shelf, run, capsys):
    with pytest.raises(SpecError) as raised:
        list(Watched(run, replace(CHOICES, sampler="eular")))
    with pytest.raises(SystemExit):
        main(["sample", str(shelf.path("first")), "--sampler", "eular", "--device", "cpu"])
    said = capsys.readouterr().err
    assert "euler" in line_of(raised.value)
    assert line_of(raised.value).split(": ", 2)[2].strip() in said.strip()


@pytest.mark.parametrize("count", [0, 65])
def test_the_page_draws_a_bounded_number(run, count):
    with pytest.raises(UsageError, match="1 to 64"):
        replace(CHOICES, count=count).drawing(run)


@pytest.mark.parametrize(("step", "weights"), [("newest", "ema"), ("7", "raw")])
def test_the_command_python_and_record_draw_the_same_images(shelf, tmp_path, step, weights):
    from pixelflow.generation.gallery import read_order

    path, run = shelf.path("first"), shelf.open("first", step, weights)
    arguments = shlex.split(CHOICES.command(path, run))[1:]
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--out", str(tmp_path / "drawn"), "--device", "cpu"])
    assert not ended.value.code
    names: dict[str, object] = {}
    exec(CHOICES.python(path, run), names)
    ours = CHOICES.drawing(run)
    assert Order.model_validate(json.loads(CHOICES.record(run))) == ours.order
    assert read_order(tmp_path / "drawn" / "samples.json").model_dump(exclude={"device"}) == (
        ours.order.model_dump(exclude={"device"})
    )
    assert torch.equal(names["result"].images.cpu(), ours.draw().images)


def test_a_prompt_of_nothing_is_one_in_the_command_too(tmp_path):
    spec = make_spec(
        "name=told", "data=shapes", "image={size: 16, channels: 3}", "conditioners=[{type: bytes, dim: 16}]"
    )
    run = Run.open(make_run(tmp_path / "told", spec), device="cpu")
    choices = replace(CHOICES, labels=(), negative="a red circle", count=1)
    arguments = shlex.split(choices.command(tmp_path / "told", run))[1:]
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--out", str(tmp_path / "drawn"), "--device", "cpu"])
    assert not ended.value.code
    assert "--prompt" in arguments


def test_a_grid_varies_two_settings_and_nothing_else(run):
    *_, (picture, told) = varied_grid(run, CHOICES, ("guidance", ["1", "2", "4"]), ("seed", ["5", "6"]))
    assert told == "6 of 6"
    assert picture.width > picture.height
    with pytest.raises(UsageError, match="is no whole number"):
        list(varied_grid(run, CHOICES, ("seed", ["one"]), ("steps", [])))


def test_the_way_between_images_is_that_of_the_command(shelf, run, tmp_path):
    way = Way(replace(CHOICES, labels=("3", "1")), "5, 6", frames=2)
    *_, last = Watched(run, way)
    expected = between(
        run, seeds=[5, 6], labels=["3", "1"], frames=2, steps=[1, 2], guidance=2.0, sampler="euler"
    ).draw()
    assert torch.equal(last.result.images, expected.images)
    arguments = shlex.split(way.command(shelf.path("first"), run))[1:]
    arguments[2] = str(tmp_path / "way.webp")
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--device", "cpu"])
    assert not ended.value.code
    write_frames(tmp_path / "ours.webp", last.result.images, last.result.titles)
    assert (tmp_path / "way.webp").read_bytes() == (tmp_path / "ours.webp").read_bytes()


@pytest.mark.parametrize(
    ("way", "line"),
    [
        (Way(CHOICES, "one"), "must be whole numbers"),
        (Way(replace(CHOICES, labels=()), "5"), "needs two ends"),
        (Way(CHOICES, "5", frames=64), "draws more"),
        (Way(CHOICES, "5", frames=0), "1 to"),
    ],
)
def test_a_way_that_cannot_be_drawn_is_a_line(run, way, line):
    with pytest.raises(UsageError, match=line):
        list(Watched(run, way))


def test_what_is_painted_is_drawn_anew_and_all_else_stays(run):
    picture = to_pil(run.sample(labels=[3], seed=1))[0].resize((160, 160), Image.Resampling.NEAREST)
    stroke = Image.new("RGBA", (160, 160), (0, 0, 0, 0))
    stroke.paste((255, 0, 0, 255), (0, 0, 80, 160))
    image, mask = fitted({"background": picture, "layers": [stroke]}, run)
    assert torch.equal(to_uint8(image[None])[0, :, :, 0], torch.from_numpy(np.array(picture.resize((16, 16), 0))))
    assert mask[:, :8].all()
    assert not mask[:, 8:].any()
    *_, last = Watched(run, CHOICES, edit=Edit(image, masks=mask))
    assert torch.equal(last.result.images[:, :, :, 8:], image[None, :, :, 8:].expand(3, -1, -1, -1))
    assert not torch.equal(last.result.images[0, :, :, :8], image[:, :, :8])
    assert fitted({"background": picture, "layers": []}, run)[1] is None


def test_what_is_transparent_shows_the_ground(run):
    clear = Image.new("RGBA", (16, 16), (0, 0, 0, 0))
    assert torch.equal(fitted({"background": clear, "layers": []}, run)[0], torch.ones(1, 16, 16))


def test_without_an_image_there_is_nothing_to_edit(run):
    with pytest.raises(UsageError, match="drop one here"):
        fitted(None, run)


def test_equal_images_differ_by_nothing_and_others_by_half(run):
    black, white = -torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 2)
    assert not difference(black, black).any()
    assert torch.equal(difference(black, white), torch.ones(1, 1, 2, 2))


def test_the_curve_is_the_weight_at_each_time(run):
    sampling = CHOICES.drawing(run).sampling
    assert {weight for _, weight in guidance_weights(run, sampling)} == {2.0}
    interval = run.prepare(guidance={"type": "interval", "low": 0.2, "high": 0.5, "guidance": "constant"}).sampling
    for time_of, weight in guidance_weights(run, interval):
        assert weight == (1.5 if 200 <= time_of <= 500 else 1.0)


def test_the_form_holds_every_setting_and_changes_only_what_was_changed(tmp_path):
    file = tmp_path / "tiny.yaml"
    file.write_text(TINY)
    spec = read_spec(file)
    rows = rows_of(spec)
    assert spec_of(file, rows, "") == spec
    keys = [key for key, _, _ in rows]
    assert {"training.learning_rate", "backbone.depth", "sampling.guidance.scale"} <= set(keys)
    meanings = {key: what for key, _, what in rows}
    assert "3 for RGB" in meanings["image.channels"]
    assert {"euler", "heun"} <= set(meanings["sampling.sampler.type"].removeprefix("one of ").split(", "))
    changed = [[key, "7" if key == "training.steps" else value, what] for key, value, what in rows]
    assert spec_of(file, changed, "backbone.depth=3", "other").training.steps == 7
    assert spec_of(file, changed, "backbone.depth=3", "other").backbone.depth == 3
    wrong = [[key, "-1" if key == "training.steps" else value, what] for key, value, what in rows]
    with pytest.raises(SpecError, match="steps"):
        spec_of(file, wrong, "")


@pytest.mark.slow  # three processes that import torch
def test_a_training_is_started_stopped_and_continued(tmp_path):
    runs = tmp_path / "runs"
    file = tmp_path / "long.yaml"
    file.write_text(TINY.replace("steps: 4, batch", "steps: 100000, batch").replace("name: tiny", "name: long"))
    trainings = Trainings(runs)
    assert trainings.start(file, "long").startswith("pixelflow train")
    try:
        _until(lambda: (summary(runs / "long").loss if (runs / "long").is_dir() else None) is not None, trainings)
        with pytest.raises(UsageError, match="already"):
            trainings.resume("long")
        trainings.stop("long")
        _until(lambda: not is_training(shelf_run(runs / "long")), trainings)
        stopped = trainings._processes["long"]
        trainings.resume("long")  # at once, though the process may take a moment more to end
        assert stopped.returncode == 75
        _until(lambda: is_training(shelf_run(runs / "long")), trainings)
        trainings.stop("long")
        assert trainings._processes["long"].wait(60) == 75
        assert summary(runs / "long").step
        assert not is_training(shelf_run(runs / "long"))
        with pytest.raises(UsageError, match="is not being trained"):
            trainings.stop("long")
        trainings.resume("long")
        _until(lambda: "goes on" in trainings.said("long") or is_training(shelf_run(runs / "long")), trainings)
    finally:
        trainings._processes["long"].kill()
        trainings._processes["long"].wait()


def shelf_run(path: Path):
    from pixelflow.runs.runfolder import RunFolder

    return RunFolder(path)


def _until(is_so, trainings: Trainings) -> None:
    for _ in range(600):
        if is_so():
            return
        time.sleep(0.1)
    raise AssertionError(trainings.said("long"))


def test_errors_that_nobody_foresaw_are_said_and_logged(caplog):
    assert line_of(DataError("x: is broken")) == "pixelflow: x: is broken"
    assert line_of(OSError(errno.ENOSPC, "No space left on device")) == "pixelflow: the disk: No space left on device"
    assert line_of(RuntimeError("CUDA out of memory")).startswith("pixelflow: out of memory; lower")
    assert "this is a bug: ValueError: no" in line_of(ValueError("no"))
    assert line_of(OSError(errno.ENOSPC, "No space left")) == "pixelflow: the disk: No space left"
    assert line_of(MemoryError()).startswith("pixelflow: out of memory; lower")
    assert "the page" in caplog.text


def test_a_port_that_is_taken_is_one_line(tmp_path):
    pytest.importorskip("gradio", reason="the page needs gradio: pip install 'pixelflow-toolkit[ui]'")
    from pixelflow.ui.page import serve

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"the port {port} is in use or may not be used; choose another --port"):
            serve(tmp_path, port, "cpu", wait=False)
