"""Text to image from end to end: train, continue, evaluate and draw by the command line, with real encoders."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import pixelflow
from pixelflow.cli.app import main
from pixelflow.core import reading
from pixelflow.core.assembly import build_dataset
from tests import processes
from tests.conftest import make_spec
from tests.tiny_encoders import make_t5

TEXT = """
name: text
image: {size: 16, channels: 3}
data: {type: shapes, count: 40}
cascade: {stages: 2, patch: 4}
backbone: {type: dit, depth: 1, heads: 2, head_dim: 16}
conditioners: [{type: bytes, dim: 16, depth: 1, heads: 2, max_bytes: 96}]
training: {steps: 4, batch_size: 8, learning_rate: 1e-3, save_every: 2, log_every: 1, sample_every: 4, samples: 3}
sampling: {steps: 2, guidance: {type: constant, scale: 2.0}}
evaluation: {metrics: [shapes_judge], images: 12}
"""


@pytest.fixture
def spec(tmp_path) -> Path:
    (tmp_path / "text.yaml").write_text(TEXT)
    return tmp_path / "text.yaml"


def call(*arguments) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return int(stop.value.code or 0)


def train(spec, *overrides) -> int:
    return call("train", spec, "--out", spec.parent / "runs", *overrides)


def weights(run, step=4, part="model"):
    return load_file(run / "checkpoints" / f"step-{step:08d}" / f"{part}.safetensors")


def test_a_run_is_trained_evaluated_and_drawn_from(spec, capsys):
    assert train(spec) == 0
    run = spec.parent / "runs" / "text"
    assert any(name.startswith("conditioners.0.layers") for name in weights(run, part="ema"))
    assert (run / "samples" / "step-00000004.png").exists()
    assert call("eval", run, "data.split=test") == 0
    body = json.loads(Path(re.search(r"written to (.*)", capsys.readouterr().out)[1]).read_text())
    assert list(body["results"][0]["values"])[:2] == ["overall", "single_object"]
    assert len(body["results"][0]["values"]) == 7
    assert call("sample", run, "--prompt", "a red circle", "--out", run / "drawn") == 0
    assert pixelflow.load(run).sample(prompts=["a red circle", "two crosses"]).shape == (2, 3, 16, 16)


def test_other_captions_are_another_evaluation(spec):
    assert train(spec) == 0
    run = spec.parent / "runs" / "text"
    assert call("eval", run, "data.split=test") == 0
    assert call("eval", run, "data.seed=1", "data.split=test") == 0
    assert len(list((run / "evaluations").iterdir())) == 2


def test_a_frozen_encoder_trains_a_run_that_does_not_hold_it(spec, tmp_path, capsys):
    folder = make_t5(tmp_path / "t5")
    text = f"conditioners=[class_label, {{type: t5, model: '{folder}', max_tokens: 40}}]"
    assert train(spec, text) == 65  # shapes have no labels
    assert "class_label" in capsys.readouterr().err
    text = f"conditioners=[{{type: t5, model: '{folder}', max_tokens: 40}}]"
    assert train(spec, text, "training.steps=2") == 0
    run = spec.parent / "runs" / "text"
    written = (run / "spec.yaml").read_text()
    assert re.search(r"sha256: [0-9a-f]{64}", written)
    assert "dim: 32" in written
    for part in ("model", "ema"):
        assert not [name for name in weights(run, 2, part) if not name.startswith("backbone")]
    assert call("sample", run, "--prompt", "a red house", "--out", tmp_path / "drawn") == 0
    (folder / "config.json").write_text((folder / "config.json").read_text() + "\n")
    assert train(spec, text, "training.steps=4") == 2
    assert "is a run of another spec (conditioners" in capsys.readouterr().err


def test_classes_and_two_texts_are_trained_and_drawn_from_together(spec, tmp_path):
    for index in range(6):
        place = tmp_path / "pictures" / ("cats" if index % 2 else "dogs") / f"{index}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.linear_gradient("L").rotate(30 * index).convert("RGB").save(place)
        place.with_suffix(".txt").write_text(
            "a red house\ntwo dogs in the snow" if index % 2 else "a photo of two dogs"
        )
    data = f"data={{type: captioned_folder, root: '{tmp_path / 'pictures'}', labels: folder}}"
    texts = "{type: bytes, dim: 16, depth: 1, heads: 2, max_bytes: 96}, "
    texts += f"{{type: t5, model: '{make_t5(tmp_path / 't5')}', max_tokens: 40, project: 16}}"
    both = f"conditioners=[class_label, {texts}]"
    assert train(spec, data, both, "objective.condition_dropout=0.5", "training.learning_rate=1e-2") == 0
    run = pixelflow.load(spec.parent / "runs" / "text")
    asked = {"labels": ["cats", "dogs"], "prompts": ["a red house", "two dogs"], "seed": 1}
    drawn = run.sample(**asked)
    assert drawn.shape == (2, 3, 16, 16)
    for change in ({"labels": ["dogs", "cats"]}, {"prompts": ["two dogs", "a red house"]}, {"negatives": "a photo"}):
        assert not run.sample(**{**asked, **change}).equal(drawn), change
    torch.testing.assert_close(run.sample(**{**asked, "negatives": ""}), drawn, rtol=0, atol=1e-4)


def test_the_page_leads_from_an_empty_folder_to_a_grid(tmp_path, monkeypatch):
    """All that docs/own-pictures.md types into the laptop's part, training cut short."""
    page = (Path(__file__).parents[1] / "docs" / "own-pictures.md").read_text()
    monkeypatch.chdir(tmp_path)
    (script,) = re.findall(r"^```python draw.py\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert processes.run("-c", script).returncode == 0
    spec, large = re.findall(r"^```yaml spec\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    Path("my_pictures.yaml").write_text(spec)
    Path("large.yaml").write_text(large)
    lines = re.findall(r"^pixelflow (.*\bmy_pictures\b.*)$", page, re.MULTILINE)
    commands = [shlex.split(line, comments=True) for line in lines]
    assert [words[0] for words in commands] == ["validate", "data", "plan", "train", "sample", "train"]
    short = ["training.batch_size=4", "training.samples=2", "training.workers=0"]
    further = [word.replace("4500", "4").replace("1500", "2") for word in commands.pop()]
    for words in commands:
        assert call(*words, *(["training.steps=2", *short] if words[0] == "train" else ())) == 0, words
    assert call(*further, *short) == 0
    assert Path("runs/my_pictures/samples/drawn/grid.png").is_file()
    assert call("plan", "large.yaml") == 0


def test_the_pages_example_shows_icons_whole(tmp_path, monkeypatch):
    """A red frame of one pixel in eight is seen on all sides, and the ground within."""
    page = (Path(__file__).parents[1] / "docs" / "own-pictures.md").read_text()
    (block,) = re.findall(r"^```yaml\n(data: .*root: icons.*)\n```$", page, re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    Path("icons").mkdir()
    icon = Image.new("RGBA", (32, 32), "red")
    icon.paste((0, 0, 0, 0), (4, 4, 28, 28))
    icon.save("icons/a.png")
    Path("icons/a.txt").write_text("a frame")
    data = reading.parse(block, "page").data["data"]
    dataset = build_dataset(make_spec(f"data={json.dumps(data)}", "image={size: 8, channels: 3}", "cascade.stages=1"))
    for seed in range(5):
        image = dataset.sample(0, torch.Generator().manual_seed(seed)).image
        frame = torch.cat([image[:, 0], image[:, -1], image[:, :, 0], image[:, :, -1]], dim=1)
        assert (frame[0] > 0.5).all()
        assert (frame[1:] < 0.5).all()
        assert (image[:, 2:6, 2:6] > 0.9).all()


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ("conditioners=[{type: t5, model: nobody/t5}]", 69, "hf download nobody/t5"),
        ("data=digits", 65, "the data set digits has no captions"),
        ("conditioners.0.heads=3", 78, "conditioners.0.heads: 3 heads do not divide the 16 channels"),
        ("data={type: captioned_folder, root: nowhere}", 66, "nowhere: there is no such folder"),
    ],
)
def test_what_cannot_be_trained_is_said_in_one_line_before_a_run_is_made(spec, capsys, change, code, message):
    assert train(spec, change) == code
    error = capsys.readouterr().err
    assert message in error
    assert len([line for line in error.splitlines() if not line.startswith("data: ")]) == 1
    assert not (spec.parent / "runs").exists()


def test_the_pages_script_makes_a_captioned_folder_of_emoji(tmp_path, monkeypatch):
    """Of a package as npm gives it, with two pictures: transparent ones stand on white, flags are left out."""
    page = (Path(__file__).parents[1] / "docs" / "own-pictures.md").read_text()
    monkeypatch.chdir(tmp_path)
    pictures = Path("package/img/google/64")
    pictures.mkdir(parents=True)
    for name in ("1f980", "1f1e6"):
        Image.new("RGBA", (64, 64), (255, 0, 0, 0)).save(pictures / f"{name}.png")
    kinds = [
        {"image": "1f980.png", "category": "Animals & Nature", "name": "CRAB"},
        {"image": "1f1e6.png", "category": "Flags", "name": "A FLAG"},
        {"image": "none.png", "category": "Objects", "name": "NOT DRAWN"},
    ]
    Path("package/emoji.json").write_text(json.dumps(kinds))
    (script,) = re.findall(r"^```python emoji.py\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert processes.run("-c", script).returncode == 0
    (made,) = Path("emoji-pictures").rglob("*.png")
    assert Image.open(made).getpixel((0, 0)) == Image.open(made).getpixel((36, 36)) == (255, 255, 255)
    assert made.with_suffix(".txt").read_text() == "crab"
    assert call("data", "emoji") == 0
