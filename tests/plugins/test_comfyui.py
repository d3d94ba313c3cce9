"""The ComfyUI nodes, called by what they tell ComfyUI of themselves."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

import pixelflow
from pixelflow.system.errors import UsageError
from tests.conftest import make_run, make_spec

FILE = Path(__file__).parents[2] / "plugins/comfyui_pixelflow/__init__.py"


@pytest.fixture(scope="module")
def nodes():
    found = importlib.util.spec_from_file_location("comfyui_pixelflow", FILE)
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module.NODE_CLASS_MAPPINGS


def carried_out(node, **given):
    """One node, with its defaults for what is not given."""
    inputs = node.INPUT_TYPES()["required"]
    values = {name: (kind[1].get("default") if len(kind) > 1 else kind[0][0]) for name, kind in inputs.items()}
    assert given.keys() <= inputs.keys()
    made = getattr(node(), node.FUNCTION)(**{**values, **given})
    assert len(made) == len(node.RETURN_TYPES)
    return made[0]


def test_the_nodes_draw_what_the_run_draws(nodes, tmp_path):
    path = make_run(tmp_path / "run", make_spec())
    run = carried_out(nodes["PixelFlowLoad"], run=str(path))
    made = carried_out(
        nodes["PixelFlowSample"], run=run, seed=4, count=2, labels="class 3, 1", steps="1,2", guidance="1,2.5"
    )
    drawn = pixelflow.load(path).sample(labels=["class 3", 1], seed=4, steps=[1, 2], guidance=[1.0, 2.5])
    assert made.shape == (2, 16, 16, 3)
    assert torch.equal(made[..., 1], (drawn[:, 0].clamp(-1, 1) / 2 + 0.5))
    with pytest.raises(UsageError, match="no class"):
        carried_out(nodes["PixelFlowSample"], run=run, labels="cat")


def test_a_run_of_captions_draws_from_the_prompt(nodes, tmp_path):
    path = make_run(tmp_path / "run", make_spec("image.channels=3", "conditioners=[{type: bytes, dim: 16}]"))
    run = carried_out(nodes["PixelFlowLoad"], run=str(path), weights="raw")
    made = carried_out(nodes["PixelFlowSample"], run=run, prompt="a red circle", negative="grey", steps="1")
    drawn = pixelflow.load(path, weights="raw").sample(prompts="a red circle", negatives="grey", steps=1)
    assert torch.equal(made, (drawn.clamp(-1, 1) / 2 + 0.5).movedim(1, -1))
