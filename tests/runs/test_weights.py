"""A model whose weights are loaded draws none, and is otherwise the model that it would have been."""

from __future__ import annotations

import torch
from torch import nn

import pixelflow
from pixelflow.core.assembly import build_model
from pixelflow.runs.weights import SkipInit, load_weights
from tests.conftest import lively_model, make_run, make_spec


class Net(nn.Module):
    """Initialisers of every sort, and buffers that are filled in the same ways."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(3, 4), nn.Conv2d(1, 2, 3), nn.Embedding(5, 2), nn.LayerNorm(4)])
        nn.init.xavier_uniform_(self.layers[0].weight)
        nn.init.trunc_normal_(self.layers[1].weight)
        nn.init.orthogonal_(self.layers[2].weight)
        self.register_buffer("saved", torch.empty(4).normal_())
        self.register_buffer("unsaved", nn.init.ones_(torch.empty(4)), persistent=False)


def test_no_parameter_is_drawn_and_every_buffer_is_made():
    torch.manual_seed(0)
    usual = Net()
    with SkipInit():
        blank = Net()
    assert torch.equal(blank.unsaved, usual.unsaved)
    blank.load_state_dict(usual.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(blank.state_dict().values(), usual.state_dict().values(), strict=True))


def test_opening_a_run_draws_nothing(tmp_path):
    spec = make_spec("conditioners=[{type: class_label, classes: 10}, {type: bytes, dim: 16}]")
    run = make_run(tmp_path / "run", spec)
    before = torch.get_rng_state()
    opened = pixelflow.load(run)
    assert torch.equal(before, torch.get_rng_state())
    saved = lively_model(spec).state_dict()
    assert all(torch.equal(tensor, saved[name]) for name, tensor in opened.model.state_dict().items())


def test_weights_of_another_precision_become_the_models(tiny_spec):
    model = build_model(tiny_spec)
    load_weights(model, {name: tensor.half() for name, tensor in lively_model(tiny_spec).state_dict().items()}, "here")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_weights_lie_as_torchs_own_wherever_the_file_had_them(tiny_spec):
    """Matrix products on a CPU round by where their operands begin."""
    own = lively_model(tiny_spec).state_dict()
    shifted = {name: torch.cat([torch.zeros(1), tensor.flatten()])[1:].view_as(tensor) for name, tensor in own.items()}
    assert any(tensor.data_ptr() % 64 for tensor in shifted.values())
    model = build_model(tiny_spec)
    load_weights(model, shifted, "here")
    assert not [name for name, tensor in model.state_dict().items() if tensor.data_ptr() % 64]
    assert all(torch.equal(tensor, own[name]) for name, tensor in model.state_dict().items())
