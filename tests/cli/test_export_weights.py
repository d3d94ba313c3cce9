"""``pixelflow export-weights``: one file that tells by itself what it holds."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors import safe_open

from pixelflow.cli.app import main
from pixelflow.core import reading
from pixelflow.core.assembly import build_model
from pixelflow.core.spec import ExperimentSpec
from pixelflow.runs import checkpoint
from tests.conftest import CLASSES, make_run, make_spec


def call(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    return int(stopped.value.code or 0)


@pytest.mark.parametrize(("weights", "part"), [("ema", "ema"), ("raw", "model")])
def test_one_file_holds_the_weights_and_the_spec_that_builds_their_model(tmp_path, capsys, weights, part):
    run, file = make_run(tmp_path / "run", make_spec(), classes=CLASSES), tmp_path / "weights.safetensors"
    code = call("export-weights", run, file, "--weights", weights)
    there = checkpoint.load(run / "checkpoints")
    if f"{part}.safetensors" not in there.sha256:
        assert code == 66
        assert f"holds no {weights} weights" in capsys.readouterr().err
        return
    assert code == 0
    kept = checkpoint.load(run / "checkpoints", parts=[part]).tensors[part]
    with safe_open(file, framework="pt") as opened:
        told = opened.metadata()
        found = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - it is no dict
    assert (told["step"], told["weights"]) == (str(there.step), weights)
    assert json.loads(told["classes"]) == list(CLASSES)
    spec = reading.validate(ExperimentSpec, reading.Document(str(file), json.loads(told["spec"])))
    build_model(spec).load_state_dict(found)
    assert found.keys() == kept.keys()
    assert all(torch.equal(found[name], kept[name]) for name in kept)
    assert call("export-weights", run, file) == 73
