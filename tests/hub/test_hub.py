"""``push``, ``import`` and ``hf://``, by the real client against a server on this machine."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import pixelflow
from pixelflow.cli.app import main
from pixelflow.evaluation.records import EVALUATION
from pixelflow.hub.address import read_address
from pixelflow.runs import checkpoint
from pixelflow.runs.runfolder import RunFolder
from pixelflow.runs.weight_file import _digest
from pixelflow.system.errors import DataError, MissingInputError, SpecError, UsageError
from tests.conftest import lively_model, make_run, make_spec

WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"


def call(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    return int(stopped.value.code or 0)


@pytest.fixture
def run(tmp_path) -> Path:
    path = make_run(tmp_path / "digits", make_spec())
    assert call("sample", path, "--labels", "3", "--steps", "1", "--device", "cpu") == 0
    result = {
        **{"metric": "frechet, pixels_pca", "values": {"distance": 1.25}, "higher_is_better": False, "settings": {}},
        "recipe": {"step": 7, "images": 400, "weights": "ema"},
    }
    later = {**result, "values": {"distance": 0.5}, "recipe": {**result["recipe"], "step": 9}}
    for name, one in (("step-7", result), ("step-9", later)):
        (path / "evaluations" / name).mkdir(parents=True)
        EVALUATION.write(path / "evaluations" / name / "evaluation.json", {"results": [one]})
    return path


def test_by_default_nothing_leaves_and_the_folder_can_be_looked_at(run, hub, capsys):
    assert call("push", run, "someone/digits", "--license", "mit") == 0
    folder = run / "hub/someone--digits"
    said = capsys.readouterr().out
    assert str(folder) in said
    assert "nothing was uploaded" in said
    assert not hub.asked
    assert {"README.md", "spec.yaml", "grid.png", "model_index.json", "pipeline.py"} <= {
        p.name for p in folder.iterdir()
    }
    card = (folder / "README.md").read_text("utf-8")
    for told in (
        "license: mit",
        "hf://someone/digits",
        "| frechet, pixels_pca: distance (400 images) | 1.25 | weights ema |",
        "type: digits",
    ):
        assert told in card
    assert "| 0.5 |" not in card, "of a later step, which this is not"
    assert call("push", run, "someone/digits") == 73


def test_figures_and_pictures_of_other_weights_do_not_go_along(run, hub, capsys):
    assert call("push", run, "someone/raw", "--weights", "raw") == 0
    assert "without a picture" in capsys.readouterr().err
    card = (run / "hub/someone--raw/README.md").read_text("utf-8")
    assert "It was not evaluated" in card
    assert "grid.png" not in card


def test_a_folder_of_other_weights_does_not_go_up(run, hub, capsys):
    """It was written before the run was trained further."""
    assert call("push", run, "someone/digits") == 0
    checkpoint.save(run / "checkpoints", 9, {"ema": lively_model(make_spec(), 9).state_dict()}, {}, keep=2)
    assert call("push", run, "someone/digits", "--upload") == 2
    said = capsys.readouterr().err
    assert "holds the ema weights of step 7, and not the ema ones of step 9; remove it, or name what it holds" in said
    assert not hub.files
    assert call("push", run, "someone/digits", "--upload", "--step", "7") == 0


def test_what_was_pushed_draws_the_same_from_its_address(run, hub, tmp_path, monkeypatch, capsys):
    assert call("push", run, "someone/digits", "--upload") == 0
    assert "someone/digits" in capsys.readouterr().out
    files = hub.files["someone/digits"]
    folder = run / "hub/someone--digits"
    written = {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    assert files == written
    expected = pixelflow.load(run, device="cpu").sample(labels=[3], seed=2)
    opened = pixelflow.load("hf://someone/digits", device="cpu")
    assert torch.equal(opened.sample(labels=[3], seed=2), expected)
    assert opened.classes == pixelflow.load(run).classes
    fetched = [one for one in hub.asked if one.startswith("GET") and WEIGHTS in one]
    pixelflow.load(f"hf://someone/digits@{hub.commit('someone/digits')}")
    assert [one for one in hub.asked if one.startswith("GET") and WEIGHTS in one] == fetched  # it is kept
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert call("sample", "hf://someone/digits", "--labels", "3", "--seed", "2", "--device", "cpu") == 0
    (made,) = Path("runs").iterdir()
    assert made.name.startswith("someone--digits-")
    assert (made / "samples/drawn/000000.png").is_file()


def test_the_card_may_be_edited_before_it_goes_up(run, hub):
    call("push", run, "someone/digits")
    (run / "hub/someone--digits/README.md").write_text("mine")
    assert call("push", run, "someone/digits", "--upload") == 0
    assert hub.files["someone/digits"]["README.md"] == b"mine"


def test_diffusers_opens_what_was_pushed(run, hub, diffusers, tmp_path):
    call("push", run, "someone/digits", "--upload")
    pipe = diffusers.DiffusionPipeline.from_pretrained(
        "someone/digits", trust_remote_code=True, cache_dir=tmp_path / "cache"
    )
    pipe.set_progress_bar_config(disable=True)
    made = pipe(class_labels=3, generator=torch.Generator().manual_seed(2), output_type="latent").images
    assert torch.equal(made, pixelflow.load(run, device="cpu").sample(labels=[3], seed=2))


def test_the_hub_may_refuse_or_be_away(run, hub, capsys, monkeypatch):
    hub.refuses = True
    assert call("push", run, "someone/digits", "--upload") == 73
    said = capsys.readouterr().err
    assert "someone/digits: cannot be uploaded" in said
    assert "hf auth login" in said
    assert said.count("\n") == 1
    assert call("push", run, "digits") == 2
    assert call("sample", "hf://someone/none") == 66
    assert "no such repository" in capsys.readouterr().err
    hub.files["someone/other"] = {"README.md": b"x"}
    assert call("sample", "hf://someone/other") == 66
    assert f"holds no {WEIGHTS}" in capsys.readouterr().err
    assert call("sample", "hf://someone/other@v2") == 66
    assert "no such revision" in capsys.readouterr().err
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert call("sample", "hf://someone/other") == 66
    assert "cannot be reached" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["hf://", "hf://name", "hf://a/b/c", "hf://a b/c", "hf://a/b@"])
def test_addresses_are_of_one_form(text):
    with pytest.raises(UsageError, match="hf://user/name"):
        read_address(text)
    assert read_address(Path("hf://user/my.model@v1.0")).revision == "v1.0"


def test_a_run_is_made_of_a_folder_and_of_a_file(run, tmp_path, capsys):
    assert call("export", "diffusers", run, tmp_path / "folder") == 0
    assert call("export-weights", run, tmp_path / "raw.safetensors", "--weights", "raw") == 0
    assert call("import", tmp_path / "folder", tmp_path / "one") == 0
    assert call("import", tmp_path / "raw.safetensors", tmp_path / "two") == 0
    assert "raw weights of step 7" in capsys.readouterr().out
    for path, weights in ((tmp_path / "one", "ema"), (tmp_path / "two", "raw")):
        made, own = (pixelflow.load(each, weights=weights, device="cpu") for each in (path, run))
        assert torch.equal(made.sample(labels=[1]), own.sample(labels=[1]))
        assert made.classes == own.classes
        assert made.step == 7
    assert RunFolder(tmp_path / "one").read_spec() == RunFolder(run).read_spec()
    assert call("import", tmp_path / "folder", tmp_path / "one") == 73


def test_what_is_no_model_of_ours_leaves_nothing(run, tmp_path):
    call("export-weights", run, tmp_path / "whole.safetensors")
    tensors = load_file(tmp_path / "whole.safetensors")
    name = next(iter(tensors))
    header = {"format": "pt", "spec": json.dumps(make_spec().model_dump(mode="json")), "step": "1", "weights": "ema"}
    from pixelflow.hub.folder import import_folder

    def refused(kind: type[Exception], match: str, tensors: dict, header: dict) -> None:
        save_file(tensors, tmp_path / "file.safetensors", {**header, "sha256": _digest(header, tensors)})
        with pytest.raises(kind, match=match):
            import_folder(tmp_path / "file.safetensors", tmp_path / "made", "here")
        assert not (tmp_path / "made").exists()

    refused(DataError, "does not tell", tensors, {"format": "pt"})
    refused(DataError, "does not tell", tensors, {**header, "step": "one"})
    refused(DataError, "does not tell", tensors, {**header, "weights": "best"})
    refused(DataError, "do not fit", {key: value for key, value in tensors.items() if key != name}, header)
    refused(DataError, "not finite", {**tensors, name: tensors[name] / 0}, header)
    spec = json.loads(header["spec"])
    spec["sampling"]["sampler"] = "eular"
    refused(SpecError, "sampler", tensors, {**header, "spec": json.dumps(spec)})
    content = bytearray((tmp_path / "whole.safetensors").read_bytes())
    for place in (len(content) - 3, content.index(b"8, ") if b"8, " in content else 60):
        (tmp_path / "flipped.safetensors").write_bytes(
            content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        )
        with pytest.raises(DataError, match=r"damaged|does not tell|no safetensors"):
            import_folder(tmp_path / "flipped.safetensors", tmp_path / "made", "here")
    with pytest.raises(MissingInputError, match="no such file"):
        import_folder(tmp_path / "none", tmp_path / "made", "here")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "whole.safetensors").read_bytes()[:-5])
    with pytest.raises(DataError, match="safetensors"):
        import_folder(tmp_path / "cut.safetensors", tmp_path / "made", "here")
    os.mkfifo(tmp_path / "pipe.safetensors")
    with pytest.raises(MissingInputError):
        import_folder(tmp_path / "pipe.safetensors", tmp_path / "made", "here")
