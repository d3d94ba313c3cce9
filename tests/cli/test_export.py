"""``pixelflow export``: the evaluators' folders, resumed, with the seeds of prompts and the prompts rewritten."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pixelflow
from pixelflow.cli.app import main
from pixelflow.core import seeds
from pixelflow.generation.pictures import to_pil
from pixelflow.rewriters.instruct import Instruct
from pixelflow.rewriters.mapping import Mapping
from tests.conftest import make_run, make_spec
from tests.tiny_encoders import make_chat_model

PROMPTS = ("a red circle", "two blue squares.", "zwölf Würfel")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    spec = make_spec("image.channels=3", "conditioners=[{type: bytes, dim: 16}]", "sampling.batch_size=7")
    return make_run(tmp_path_factory.mktemp("runs") / "text", spec)


@pytest.fixture(scope="module")
def prompts(tmp_path_factory) -> dict[str, Path]:
    """Each benchmark's prompts, as it hands them out."""
    folder = tmp_path_factory.mktemp("prompts")
    (folder / "metadata.jsonl").write_text("\n".join(json.dumps({"prompt": text, "tag": "x"}) for text in PROMPTS))
    (folder / "dpg").mkdir()
    for index, text in enumerate(PROMPTS):
        (folder / "dpg" / f"part{index}.txt").write_text(text, "utf-8")
    (folder / "color_val.txt").write_text("\r\n".join(PROMPTS), "utf-8")
    return {"geneval": folder / "metadata.jsonl", "dpg": folder / "dpg", "t2i-compbench": folder / "color_val.txt"}


def export(benchmark: str, run: Path, prompts: Path, *options: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["export", benchmark, str(run), "--prompts", str(prompts), "steps=1", *map(str, options)])
    return int(stop.value.code or 0)


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_geneval(run, prompts, tmp_path, capsys):
    assert export("geneval", run, prompts["geneval"], "--out", tmp_path / "a") == 0
    assert f"3 prompts, 4 images each: {tmp_path / 'a' / 'images'}" in capsys.readouterr().out
    found = files(tmp_path / "a" / "images")
    assert sorted(found) == sorted(
        name
        for index in range(3)
        for name in (f"{index:05d}/metadata.jsonl", *(f"{index:05d}/samples/{image:04d}.png" for image in range(4)))
    )
    assert json.loads(found["00002/metadata.jsonl"]) == {"prompt": PROMPTS[2], "tag": "x"}
    own = [seeds.derive(0, "benchmark", 1, image) for image in range(4)]
    expected = to_pil(pixelflow.load(run).sample(prompts=PROMPTS[1], seeds=own, steps=1))
    for image, picture in enumerate(expected):
        written = pixels(tmp_path / "a" / "images" / "00001" / "samples" / f"{image:04d}.png")
        assert abs(written.astype(int) - np.asarray(picture).astype(int)).max() <= 1  # another batch, another rounding


def test_dpg_and_compbench(run, prompts, tmp_path):
    assert export("dpg", run, prompts["dpg"], "--out", tmp_path / "dpg") == 0
    assert sorted(files(tmp_path / "dpg" / "images")) == ["part0.png", "part1.png", "part2.png"]
    assert pixels(tmp_path / "dpg" / "images" / "part0.png").shape == (32, 32, 3)
    assert export("t2i-compbench", run, prompts["t2i-compbench"], "--out", tmp_path / "comp") == 0
    names = sorted(files(tmp_path / "comp" / "samples"))
    assert len(names) == 30
    assert "two blue squares._000010.png" in names


def test_an_export_goes_on_where_it_was(run, prompts, tmp_path, capsys):
    assert export("geneval", run, prompts["geneval"], "--out", tmp_path) == 0
    whole = files(tmp_path)
    (tmp_path / "images/00001/samples/0002.png").unlink()
    (tmp_path / "images/00002/metadata.jsonl").unlink()
    kept = (tmp_path / "images/00000/samples/0000.png").stat().st_mtime_ns
    (tmp_path / ".draft").write_bytes(b"half a file")
    assert export("geneval", run, prompts["geneval"], "--out", tmp_path) == 0
    again = files(tmp_path)
    assert set(again) == set(whole)
    assert {name for name in whole if not name.endswith(".png")} == {
        name for name in whole if not name.endswith(".png") and whole[name] == again[name]
    }
    assert (tmp_path / "images/00000/samples/0000.png").stat().st_mtime_ns == kept
    assert export("geneval", run, prompts["geneval"], "--out", tmp_path, "--guidance", 3) == 73
    assert "by another recipe" in capsys.readouterr().err


def test_another_model_draws_from_the_same_seeds_into_another_folder(run, prompts, tmp_path):
    for weights in ("ema", "raw"):
        assert export("dpg", run, prompts["dpg"], "--weights", weights) == 0
    first, second = sorted((run / "exports").iterdir())
    recipes = [json.loads((folder / "recipe.json").read_text()) for folder in (first, second)]
    different = {key for key in recipes[0] if recipes[0][key] != recipes[1][key]}
    assert different == {"weights", "weights_sha256"}


def test_prompts_are_rewritten_once_and_kept(run, prompts, tmp_path):
    folder = make_chat_model(tmp_path / "chat")
    block = f"{{type: instruct, model: '{folder}', max_tokens: 6}}"
    assert export("dpg", run, prompts["dpg"], "--rewriter", block, "--out", tmp_path / "a") == 0
    pairs = [json.loads(line) for line in (tmp_path / "a" / "prompts.jsonl").read_text().splitlines()]
    assert [pair["prompt"] for pair in pairs] == list(PROMPTS)
    assert any(pair["caption"] != pair["prompt"] for pair in pairs)
    assert json.loads((tmp_path / "a" / "recipe.json").read_text())["rewriter"]["type"] == "instruct"
    (tmp_path / "rewritten.jsonl").write_text(
        "\n".join(json.dumps({"prompt": pair["prompt"], "rewritten": pair["caption"]}) for pair in pairs)
    )
    block = f"{{type: mapping, file: '{tmp_path / 'rewritten.jsonl'}'}}"
    assert export("dpg", run, prompts["dpg"], "--rewriter", block, "--out", tmp_path / "b") == 0
    assert files(tmp_path / "a" / "images") == files(tmp_path / "b" / "images")


def test_a_stop_while_rewriting_keeps_what_was_rewritten(run, prompts, tmp_path, monkeypatch):
    folder, out = make_chat_model(tmp_path / "chat"), tmp_path / "out"
    options = ("--rewriter", f"{{type: instruct, model: '{folder}', max_tokens: 3, batch_size: 1}}", "--out", out)
    whole, asked = Instruct.rewrite, []

    def stopped(self, own):
        if len(asked) == 2:
            raise KeyboardInterrupt
        asked.extend(own)
        return whole(self, own)

    monkeypatch.setattr(Instruct, "rewrite", stopped)
    assert export("geneval", run, prompts["geneval"], *options) == 130
    assert len((out / "prompts.jsonl").read_text().splitlines()) == 2
    asked.clear()
    assert export("geneval", run, prompts["geneval"], *options) == 0
    assert asked == [PROMPTS[2]]


def test_equal_prompts_are_rewritten_once(run, tmp_path, monkeypatch):
    file = tmp_path / "prompts.txt"
    file.write_text("a cat\na dog\na cat\n")
    (tmp_path / "mapping.jsonl").write_text(
        "".join(json.dumps({"prompt": f"a {pet}", "rewritten": f"one {pet}"}) + "\n" for pet in ("cat", "dog"))
    )
    whole, asked = Mapping.rewrite, []
    monkeypatch.setattr(Mapping, "rewrite", lambda self, own: asked.append(list(own)) or whole(self, own))
    options = ("--rewriter", f"{{type: mapping, file: '{tmp_path / 'mapping.jsonl'}'}}", "--out", tmp_path / "out")
    assert export("t2i-compbench", run, file, *options) == 0
    assert asked == [["a cat", "a dog"]]
    pairs = [json.loads(line) for line in (tmp_path / "out" / "prompts.jsonl").read_text().splitlines()]
    assert [pair["caption"] for pair in pairs] == ["one cat", "one dog", "one cat"]


@pytest.mark.parametrize(
    ("number", "line"),
    [(2, b"no json"), (2, b'{"prompt": "a red circle"}'), (1, b"[1]"), (3, b"\xff"), (4, b'{"caption": "a"}'),
     (2, b'{"prompt": "another", "caption": "a"}'), (2, b'{"prompt": ["a"], "caption": "a"}')],
)  # fmt: skip
def test_a_changed_file_of_prompts_is_one_line(run, prompts, tmp_path, capsys, number, line):
    assert export("geneval", run, prompts["geneval"], "--out", tmp_path) == 0
    lines = (tmp_path / "prompts.jsonl").read_bytes().splitlines()
    (tmp_path / "prompts.jsonl").write_bytes(b"\n".join([*lines[: number - 1], line, *lines[number:]]))
    capsys.readouterr()
    assert export("geneval", run, prompts["geneval"], "--out", tmp_path) == 65
    error = capsys.readouterr().err
    assert f"prompts.jsonl:{number}: is not what this export wrote" in error
    assert error.count("\n") == 1


def test_a_flipped_bit_of_what_was_exported_is_not_believed(run, prompts, tmp_path, capsys):
    """A caption is refused, a picture is drawn again."""
    assert export("geneval", run, prompts["geneval"], "--out", tmp_path) == 0
    before = files(tmp_path)
    kept, picture = tmp_path / "prompts.jsonl", sorted(tmp_path.rglob("*.png"))[1]
    picture.write_bytes(picture.read_bytes()[:60] + b"?" + picture.read_bytes()[61:])
    assert export("geneval", run, prompts["geneval"], "--out", tmp_path) == 0
    assert files(tmp_path) == before
    kept.write_text(kept.read_text().replace('"caption": "a red', '"caption": "a rad'))
    capsys.readouterr()
    assert export("geneval", run, prompts["geneval"], "--out", tmp_path) == 65
    assert "prompts.jsonl:1: is not what this export wrote" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("benchmark", "options", "code", "message"),
    [
        ("genevil", (), 2, "Did you mean 'geneval'"),
        ("geneval", ("--rewriter", "maping"), 78, "no rewriter is called 'maping'; did you mean 'mapping'"),
        ("geneval", ("--rewriter", "mapping"), 78, "rewriter.file: is missing"),
        ("geneval", ("--rewriter", "{type: mapping, file: nowhere.jsonl}"), 66, "nowhere.jsonl"),
        ("geneval", ("stesp=3",), 78, "did you mean 'steps'"),
        ("geneval", ("--out", __file__), 73, "is there already, and nothing is replaced"),
    ],
)
def test_bad_input_is_one_line(run, prompts, capsys, benchmark, options, code, message):
    assert export(benchmark, run, prompts["geneval"], *options) == code
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_runs_that_do_not_fit_are_refused(prompts, tmp_path, capsys):
    wide = make_spec("image={size: [16, 32], channels: 3}", "conditioners=[{type: bytes, dim: 16}]")
    assert export("dpg", make_run(tmp_path / "wide", wide), prompts["dpg"]) == 2
    assert "square images alone" in capsys.readouterr().err
    assert export("dpg", make_run(tmp_path / "digits", make_spec()), prompts["dpg"]) == 2
    assert "not conditioned on captions" in capsys.readouterr().err
