"""A run whose checkpoints lie in shares, through every command that reads weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from pixelflow.cli.app import main
from pixelflow.runs.runfolder import RunFolder
from tests.training.test_distributed import train_together

OPTIONS = ("sampling.batch_size=2", "sampling.steps=2", "evaluation.images=4", "evaluation.metrics=[frechet]")
TRAINED = ("training.parallel=fsdp", "training.steps=2", "training.power_ema={every: 1}", *OPTIONS)


def call(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    return int(stopped.value.code or 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """With the run ``shares``, trained by two processes, and ``whole``, made of the one file that is exported."""
    folder = tmp_path_factory.mktemp("sharded")
    run = train_together(2, folder / "shares", *TRAINED)
    assert list(run.checkpoints.glob("*/ema-2-of-2.safetensors"))
    assert call("export-weights", run.path, folder / "weights.safetensors") == 0
    assert call("import", folder / "weights.safetensors", folder / "whole") == 0
    assert list(RunFolder(folder / "whole").checkpoints.glob("*/ema.safetensors"))
    return folder


def results(folder: Path, *command: object) -> list[dict[str, bytes]]:
    """The files that a command writes of either run."""
    name, *options = command
    found = []
    for run in ("shares", "whole"):
        out = folder / f"{name}-{run}"
        assert call(name, folder / run, *options, "--out", out) == 0
        files = (file for file in out.rglob("*") if file.is_file() and not file.name.endswith(".lock"))
        found.append({file.relative_to(out).as_posix(): file.read_bytes() for file in files})
    return found


@pytest.mark.parametrize("weights", ["raw", "0.05"])
def test_any_of_its_weights_become_one_file(folder, weights):
    file = folder / f"{weights}.safetensors"
    assert call("export-weights", folder / "shares", file, "--weights", weights) == 0
    averaged, found = load_file(folder / "weights.safetensors"), load_file(file)
    assert {name: own.shape for name, own in found.items()} == {name: own.shape for name, own in averaged.items()}
    assert any(not found[name].equal(averaged[name]) for name in found)


def test_sample_draws_the_same_images(folder):
    shares, whole = results(folder, "sample", "--count", 3, "--device", "cpu")
    images = [name for name in shares if name.endswith(".png")]
    assert len(images) >= 3
    assert all(shares[name] == whole[name] for name in images if name.startswith("0"))


def test_eval_measures_the_same(folder):
    values = []
    for files in results(folder, "eval", "--device", "cpu"):
        (record,) = (json.loads(files[name]) for name in files if name.endswith(".json") and b"results" in files[name])
        values.append([one["values"] for one in record["results"]])
    assert values[0] == values[1]
    assert values[0]


@pytest.mark.parametrize("command", [("push", "someone/digits"), ("export", "diffusers")])
def test_what_others_get_holds_the_same_weights(folder, command, capsys):
    """As the folder for the Hub, which is only written, and as one for diffusers."""
    found = []
    for run in ("shares", "whole"):
        out = folder / f"{command[0]}-{run}"
        target = ("--out", out) if command[0] == "push" else (out,)
        name, *rest = command
        order = (name, folder / run, *rest) if name == "push" else (*command, folder / run)
        assert call(*order, *target) == 0
        found.append(load_file(out / "transformer/diffusion_pytorch_model.safetensors"))
    assert found[0].keys() == found[1].keys()
    assert all(own.equal(found[1][name]) for name, own in found[0].items())
