"""On the way between images: the ends are the run's own, every frame's noise is white, and files are animations."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

import pixelflow
from pixelflow.cli.app import main
from pixelflow.core.condition import Condition
from pixelflow.generation.animation import write_frames
from pixelflow.generation.interpolation import BlendedNoise, between
from pixelflow.generation.run import Run
from pixelflow.system.errors import UsageError
from tests.conftest import make_run, make_spec


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory):
    return make_run(tmp_path_factory.mktemp("runs") / "tiny", make_spec("sampling.batch_size=3"))


@pytest.fixture(scope="module")
def run(folder) -> Run:
    return pixelflow.load(folder, device="cpu")


def near(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Equal up to the rounding of another batch."""
    return torch.allclose(a, b, atol=1e-4)


def test_the_ends_are_the_images_of_their_seeds_and_labels(run: Run):
    way = between(run, seeds=[4, 9], labels=["class 3", "class 7"], frames=4, steps=2).draw()
    ends = run.sample(labels=[3, 7], seeds=[4, 9], steps=2)
    assert len(way) == 5
    assert near(way.images[[0, 4]], ends)
    assert way.titles == ("class 3", "", "", "", "class 7")
    moved = [(after - before).abs().mean() for before, after in zip(way.images, way.images[1:], strict=False)]
    assert max(moved) < 0.8 * (ends[1] - ends[0]).abs().mean()


def test_one_seed_keeps_the_noise_and_one_label_the_class(run: Run):
    between_labels = between(run, seeds=[4], labels=[3, 7], frames=2, steps=1)
    noise = between_labels.request.noise(slice(None)).white(1, 8, 8)
    assert torch.equal(noise[0], noise[1])
    way = between(run, seeds=[1, 2, 3], labels=5, frames=1, loop=True, steps=1).draw()
    assert near(way.images, run.sample(labels=5, seeds=[1, 2, 3], steps=1))
    assert way.titles == ("class 5",) * 3


def test_noise_between_seeds_is_white():
    count = 400
    noise = BlendedNoise(range(count), range(count, 2 * count), [0.37] * count, torch.device("cpu")).white(1, 8, 8)
    assert noise.var().item() == pytest.approx(1, abs=0.03)
    assert noise.mean().item() == pytest.approx(0, abs=0.02)


def test_captions_of_any_length_lead_to_one_another(tmp_path):
    spec = make_spec("image.channels=3", "conditioners=[{type: bytes, dim: 16}]")
    run = pixelflow.load(make_run(tmp_path / "text", spec), device="cpu")
    prompts = ["a red circle above a blue square", "grey"]
    way = between(run, seeds=[3], prompts=prompts, frames=2, steps=1).draw().images
    assert near(way[[0, 2]], run.sample(prompts=prompts, seeds=[3, 3], steps=1))
    assert not near(way[1], way[0])
    assert not near(way[1], way[2])


def test_a_condition_between_two_is_each_at_its_ends():
    first = Condition(torch.zeros(2, 3), torch.ones(2, 2, 4), torch.tensor([[True, True]] * 2))
    second = Condition(torch.ones(2, 3), torch.ones(2, 3, 4) * 3, torch.tensor([[True, False, True]] * 2))
    made = Condition.between(first, second, torch.tensor([0.0, 0.5]))
    assert made.vector.tolist() == [[0.0] * 3, [0.5] * 3]
    assert made.mask.tolist() == [[True, True, False], [True, True, True]]
    assert made.tokens[0, :2].tolist() == first.tokens[0].tolist()
    assert made.tokens[1, 0].tolist() == [2.0] * 4


def call(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        main([*map(str, arguments), "--device", "cpu"])
    return int(stopped.value.code or 0)


@pytest.mark.parametrize(("ending", "kind"), [("gif", "GIF"), ("webp", "WEBP"), ("apng", "PNG")])
def test_the_command_writes_an_animation(folder, tmp_path, ending, kind):
    file = tmp_path / f"way.{ending}"
    command = (
        "interpolate",
        folder,
        file,
        "--seeds",
        "1,2",
        "--labels",
        "3",
        "--frames",
        "3",
        "--loop",
        "--steps",
        "1",
    )
    assert call(*command) == 0
    with Image.open(file) as picture:
        assert (picture.format, picture.n_frames, picture.size) == (kind, 6, (256, 256))
    assert call(*command) == 73


def test_the_command_takes_what_guidance_leads_away_from_and_a_size(tmp_path):
    spec = make_spec("image.channels=3", "conditioners=[{type: bytes, dim: 16}]")
    run = pixelflow.load(make_run(tmp_path / "text", spec), device="cpu")
    ends = ["a red circle", "two blue squares"]
    given = {"prompts": ends, "negatives": ["a cross"], "size": (16, 32), "guidance": 3.0, "steps": 1}
    drawn = between(run, seeds=[4], frames=1, **given).draw()
    options = [word for end in ends for word in ("--prompt", end)]
    options += ["--negative", "a cross", "--size", "32x16", "--guidance", "3", "--steps", "1", "--frames", "1"]
    assert call("interpolate", tmp_path / "text", tmp_path / "way.apng", "--seeds", "4", *options) == 0
    write_frames(tmp_path / "ours.apng", drawn.images, drawn.titles)
    assert (tmp_path / "way.apng").read_bytes() == (tmp_path / "ours.apng").read_bytes()
    plain = between(run, seeds=[4], frames=1, **{**given, "negatives": None}).draw()
    assert not near(drawn.images, plain.images)


def test_the_command_writes_a_strip(folder, tmp_path):
    assert call("interpolate", folder, tmp_path / "way.png", "--seeds", "1", "--labels", "3,4", "--frames", "3") == 0
    with Image.open(tmp_path / "way.png") as picture:
        assert getattr(picture, "n_frames", 1) == 1
        assert picture.width > 4 * 64


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--seeds", "1"), 2, "needs two ends"),
        (("--seeds", "1,x"), 2, "whole numbers"),
        (("--labels", "3,cat"), 2, "no class is called 'cat'"),
        (("--prompt", "a cat"), 2, "not conditioned on captions"),
    ],
)
def test_bad_input_is_one_line(folder, tmp_path, capsys, options, code, said):
    assert call("interpolate", folder, tmp_path / "way.gif", *options) == code
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert call("interpolate", folder, tmp_path / "way.mp4") == 2
    assert not (tmp_path / "way.gif").exists()


def test_too_many_frames_are_refused(run: Run):
    with pytest.raises(UsageError, match="can be drawn"):
        between(run, seeds=[1, 2], frames=10**6)
