"""Images made from images: Python, the command line and records agree, and what a mask keeps stays."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

import pixelflow
from pixelflow.cli.app import main
from pixelflow.generation.editing import Edit
from pixelflow.generation.gallery import read_order
from pixelflow.generation.pictures import to_pil
from pixelflow.generation.run import Run
from pixelflow.system import arrays
from pixelflow.system.errors import UsageError
from tests.conftest import make_run, make_spec


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory):
    return make_run(tmp_path_factory.mktemp("runs") / "tiny", make_spec())


@pytest.fixture(scope="module")
def run(folder) -> Run:
    return pixelflow.load(folder, device="cpu")


@pytest.fixture(scope="module")
def image(run: Run):
    """(1 16 16) of 8-bit values."""
    return (run.sample(labels=7, seed=50)[0].clamp(-1, 1) * 127.5 + 127.5).round() / 127.5 - 1


ASKED = {"labels": [1, 2], "seed": 3}


def test_less_strength_keeps_more_and_costs_only_the_stages_that_are_left(run: Run, image):
    distances = []
    for strength in (0.05, 0.5, 1.0):
        drawn = run.draw(**ASKED, edit=Edit(image, strength=strength))
        assert drawn.nfe[0] == 0 < drawn.nfe[1]
        distances.append((drawn.images - image).abs().mean().item())
    assert distances == sorted(distances)
    assert distances[0] < 0.2 * distances[2]


def test_a_small_image_is_enlarged_as_the_last_stage_continues_it(run: Run, image):
    small = run.model.cascade.at_stage(image[None], run.model.cascade.stages[0])[0]
    enlarged = run.draw(**ASKED, edit=Edit(small), keep_stages=True)
    assert [tuple(stage.shape) for stage in enlarged.stages] == [(2, 1, 16, 16)]
    whole = run.sample(**ASKED, edit=Edit(image, stage=1))
    torch.testing.assert_close(enlarged.images, whole, msg="the coarser stage's part is all that counts at tau = 0")


def test_a_mask_keeps_what_is_black_and_draws_the_rest(run: Run, image):
    mask = torch.zeros(16, 16)
    mask[:, 8:] = 1
    seen = []
    filled = run.sample(**ASKED, edit=Edit(image, masks=mask), on_step=lambda stage, *_: seen.append(stage.index))
    assert torch.equal(filled[..., :8], image.expand(2, -1, -1, -1)[..., :8])
    assert not torch.allclose(filled[0, ..., 8:], image[..., 8:], atol=0.05)
    assert set(seen) == {0, 1}
    alone = run.sample(labels=2, seed=4, edit=Edit(image, masks=mask))
    torch.testing.assert_close(filled[1:], alone, msg="an image depends on its own seed alone")


def test_several_images_take_turns(run: Run, image):
    drawn = run.draw(labels=1, seeds=[0, 0, 0], count=3, edit=Edit([image, -image], strength=0.3))
    assert torch.equal(drawn.images[0], drawn.images[2])
    assert not torch.allclose(drawn.images[0], drawn.images[1], atol=0.1)
    assert len(run.prepare(labels=1, edit=Edit([image, -image])).order.seeds) == 2


def typed(*words: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        main([str(word) for word in words])
    return stopped.value.code or 0


@pytest.fixture
def files(image, tmp_path):
    to_pil(image[None])[0].save(tmp_path / "image.png")
    Image.new("L", (16, 16)).save(tmp_path / "mask.png")
    with Image.open(tmp_path / "mask.png") as mask:
        mask.paste(255, (8, 0, 16, 16))
        mask.save(tmp_path / "mask.png")
    to_pil(image[None])[0].resize((5, 5)).save(tmp_path / "odd.png")
    return tmp_path


def test_the_command_line_makes_the_same_order_and_its_record_repeats_it(run: Run, folder, image, files):
    edit = ["--from", files / "image.png", "--stage", 0, "--strength", 0.75, "--mask", files / "mask.png"]
    assert typed("sample", folder, "--labels", "1,2", *edit, "--device", "cpu", "--out", files / "one") == 0
    mask = torch.zeros(16, 16)
    mask[:, 8:] = 1
    asked = run.prepare(labels=[1, 2], edit=Edit([image], 0, 0.75, mask))
    assert asked.order == read_order(files / "one/samples.json")
    (files / "image.png").unlink()
    repeat = ["--repeat", files / "one/samples.json", "--device", "cpu"]
    assert typed("sample", folder, *repeat, "--out", files / "two") == 0
    assert typed("sample", folder, *repeat, "--npz", files / "three.npz") == 0
    for name in ("000000.png", "000001.png"):
        content = (files / "one" / name).read_bytes()
        assert (files / "two" / name).read_bytes() == content
        assert (files / "three" / name).read_bytes() == content


def test_transparent_pixels_show_the_ground_that_the_run_was_trained_with(tmp_path):
    spec = make_spec("data={type: image_folder, root: gone, ground: black}")
    folder = make_run(tmp_path / "black", spec)
    Image.new("LA", (16, 16), (255, 0)).save(tmp_path / "clear.png")
    assert typed("sample", folder, "--labels", "1", "--from", tmp_path / "clear.png", "--out", tmp_path / "one") == 0
    (kept,) = read_order(tmp_path / "one" / "samples.json").edit.images
    assert torch.equal(arrays.from_json(kept), -torch.ones(1, 16, 16))


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--stage", "1"], 2, "give it by --from"),
        (["--from", "odd.png"], 2, "an image of 5x5 pixels has the size of no stage (8x8, 16x16); resize it"),
        (["--from", "none.png"], 66, "none.png: there is no such file"),
        (["--from", "image.png", "--stage", "2"], 2, "an image of 16x16 enters stages 0 to 1, not 2"),
        (["--from", "image.png", "--strength", "0"], 2, "the strength must lie above 0"),
        (["--from", "image.png", "--strength", "nan"], 2, "the strength must lie above 0"),
        (["--from", "image.png", "--mask", "odd.png"], 2, "a mask and its image must have the finished size, 16x16"),
    ],
)
def test_mistakes_are_told_in_one_line(folder, files, monkeypatch, capsys, options, code, message):
    monkeypatch.chdir(files)
    assert typed("sample", folder, "--labels", "1", *options, "--device", "cpu") == code
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said


def test_python_refuses_what_does_not_fit(run: Run, image):
    small = torch.zeros(1, 8, 8)
    for edit, message in (
        (Edit(small, stage=1, strength=0.5), "enlarged by stage 1 as a whole"),
        (Edit(torch.zeros(3, 16, 16)), "must have 1 channels and one size"),
        (Edit([image, small]), "must have 1 channels and one size"),
        (Edit(image * torch.nan), "of finite numbers"),
        (Edit([]), "of finite numbers"),
    ):
        with pytest.raises(UsageError, match=message):
            run.sample(labels=1, edit=edit)
