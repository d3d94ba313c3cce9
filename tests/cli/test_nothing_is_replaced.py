"""What a command is told to write never takes the place of something else; its own work it may do again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixelflow.cli.app import main
from pixelflow.system.files import locked
from tests.conftest import TINY, make_run, make_spec

KEPT = "is there already, and nothing is replaced; choose another"


def call(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main(list(map(str, arguments)))
    return int(stop.value.code or 0)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "tiny", make_spec("image.size=8", "sampling.steps=1"))


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["bench", "{run}", "--batches", "1", "--out", "{file}"], "bench.json"),
        (["train-extractor", "{spec}", "--out", "{file}"], "classifier.safetensors"),
        (["schema", "--out", "{file}"], "pixelflow.schema.json"),
        (["init", "digits", "--out", "{folder}/mine.yaml"], "pixelflow.schema.json"),
        (["eval", "{run}", "--images", "8", "--save-statistics", "{file}"], "real.npz"),
        (["sample", "{run}", "--count", "2", "--npz", "{file}"], "real.npz"),
        (["sample", "{run}", "--count", "2", "--out", "{file}"], "drawn"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_file_of_somebody_elses_is_kept_and_that_is_known_at_once(
    run: Path, tiny_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture, arguments: list[str], name: str
):
    folder = tmp_path / "mine"
    folder.mkdir()
    file = folder / name
    file.write_text('{"mine": true}')
    before = sorted(run.rglob("*"))
    assert call(*(text.format(run=run, spec=tiny_file, file=file, folder=folder) for text in arguments)) == 73
    shown = capsys.readouterr()
    assert shown.err.startswith(f"pixelflow: {file}: {KEPT}")
    assert shown.err.count("\n") == 1
    assert [path.name for path in folder.iterdir()] == [name]
    assert file.read_text() == '{"mine": true}'
    assert sorted(run.rglob("*")) == before, "nothing was drawn for it"


def test_the_reference_is_not_replaced_by_its_statistics(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    real, kept = tmp_path / "real.npz", tmp_path / "kept.npz"
    np.savez(real, np.random.default_rng(0).integers(0, 255, (20, 8, 8, 1), dtype=np.uint8))
    before = real.read_bytes()
    evaluation = ["eval", run, "--images", 8, "--reference", real, "evaluation.metrics=[frechet]"]
    assert call(*evaluation, "--save-statistics", real) == 73
    assert real.read_bytes() == before
    assert call(*evaluation, "--save-statistics", kept) == 0
    assert call(*evaluation, "--save-statistics", kept) == 0, "of the same images they are written again"
    assert call("eval", run, "--images", 8, "evaluation.metrics=[frechet]", "--save-statistics", kept) == 73
    assert KEPT in capsys.readouterr().err


def test_a_schema_takes_the_place_of_a_schema(tmp_path: Path):
    file = tmp_path / "pixelflow.schema.json"
    assert call("schema", "--out", file) == 0
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, "description": "of fewer plugins"}))
    assert call("schema", "--out", file) == 0
    assert json.loads(file.read_text()) == content


def test_a_sweep_takes_no_folder_of_another_kind(tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture):
    """Its report begins with removing the pictures of an earlier one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(TINY)
    (tmp_path / "sweep.yaml").write_text("name: mine\nbase: tiny.yaml\naxes: {sampling.steps: [1]}\n")
    picture = tmp_path / "mine" / "report" / "holiday.png"
    picture.parent.mkdir(parents=True)
    Image.new("L", (8, 8)).save(picture)
    assert call("sweep", "run", "sweep.yaml", "--out", ".") == 73
    assert "mine: is not empty, and nothing is replaced; choose another --out" in capsys.readouterr().err
    assert picture.is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "sweep.yaml", "tiny.yaml"]


def test_two_exports_at_once_do_not_break_each_other(tmp_path: Path, capsys: pytest.CaptureFixture):
    run = make_run(tmp_path / "text", make_spec("conditioners=[{type: bytes, dim: 16}]", "sampling.steps=1"))
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "a cat"}\n')
    export = ["export", "geneval", run, "--prompts", tmp_path / "prompts.jsonl", "--out", tmp_path / "out"]
    (tmp_path / "out").mkdir()
    with locked(tmp_path / "out", ""):
        assert call(*export) == 2
    assert "out: another process exports into this folder; wait for it" in capsys.readouterr().err
    assert call(*export) == 0
