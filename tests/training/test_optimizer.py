"""Clipping and the optimizer's state."""

import pytest
import torch
from torch import nn

from pixelflow.core.assembly import build_model
from pixelflow.runs.ema import Ema
from pixelflow.system.engines import Engine
from pixelflow.system.parallel import Parallel
from pixelflow.training.muon import Muon
from pixelflow.training.optimizer import (
    Optimizer,
    hidden_matrices,
    make_optimizer,
)
from tests.conftest import make_spec


@pytest.mark.parametrize(("largest", "after"), [(1.0, 1.0), (100.0, 5.0), (None, 5.0)])
def test_gradients_are_clipped_to_the_norm(largest, after):
    layer = nn.Linear(2, 1, bias=False)
    layer.weight.grad = torch.tensor([[3.0, 4.0]])
    assert float(Engine(Parallel(torch.device("cpu"))).clip(layer.parameters(), largest)) == pytest.approx(5)
    assert layer.weight.grad.norm().item() == pytest.approx(after, rel=1e-5)


def step_of(model: nn.Module, optimizer: Optimizer, rate: float | None = None) -> None:
    (model(torch.ones(3, 4)) ** 2).sum().backward()
    optimizer.step(rate)
    assert all(parameter.grad is None for parameter in model.parameters())


def frozen_at_one_bias() -> nn.Sequential:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    model[0].bias.requires_grad_(False)
    return model


@pytest.mark.parametrize(("optimizer", "moment"), [("adamw", "exp_avg"), ("muon", "momentum_buffer")])
def test_the_state_comes_back_by_name(optimizer: str, moment: str):
    spec = make_spec("training.weight_decay=0.1", f"training.optimizer={optimizer}")
    torch.manual_seed(0)
    one, other = frozen_at_one_bias(), frozen_at_one_bias()
    first = make_optimizer(one, spec.training)
    step_of(one, first)
    other.load_state_dict(one.state_dict())
    second = make_optimizer(other, spec.training)
    tensors = first.tensors()
    assert {f"{moment}/1.weight", "exp_avg/1.bias"} <= tensors.keys()
    assert "exp_avg/0.bias" not in tensors
    second.restore({name: tensor.clone() for name, tensor in tensors.items()})
    for _ in range(2):
        step_of(one, first)
        step_of(other, second)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_one_rate_for_all(optimizer: str):
    """A step at a rate of nothing changes nothing, one at another rate everything."""
    model = nn.Linear(4, 2)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    own = make_optimizer(model, make_spec(f"training.optimizer={optimizer}").training)
    for rate, is_same in ((0.0, True), (0.125, False)):
        step_of(model, own, rate)
        same = [torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True)]
        assert same == [is_same] * 2


def test_muon_takes_the_hidden_matrices_alone():
    model = build_model(make_spec("conditioners=[{type: bytes, dim: 16, vector: true}]"))
    hidden, shapes = hidden_matrices(model), {name: p.shape for name, p in model.named_parameters()}
    assert all(len(shapes[name]) == 2 for name in hidden)
    assert {"backbone.blocks.0.mlp.inner.weight", "conditioners.0.layers.0.qkv.weight"} <= hidden
    others = {name for name, shape in shapes.items() if len(shape) == 2} - hidden
    assert {name.split(".")[1] for name in others if name.startswith("backbone.")} == {"patch_in", "patch_out"}
    assert {name.split(".")[2] for name in others if name.startswith("conditioners.")} == {"table", "places"}


def test_muons_update_has_equal_singular_values():
    """What makes it Muon, and as large as AdamW's: a root mean square of 0.2 of the rate, or a little less."""
    torch.manual_seed(0)
    model = nn.Linear(24, 16, bias=False)
    before = model.weight.detach().clone()
    own = make_optimizer(model, make_spec("training.optimizer=muon", "training.learning_rate=0.1").training)
    (model(torch.randn(64, 24)) ** 2).sum().backward()
    own.step()
    update = model.weight.detach() - before
    values = torch.linalg.svdvals(update)
    assert values.max() / values.min() < 2.5
    assert update.square().mean().sqrt().item() == pytest.approx(0.2 * 0.1, rel=0.25)


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch.optim.Muon came with torch 2.9")
def test_muon_is_that_of_torch():
    """Bit for bit, whatever the form of a matrix."""
    torch.manual_seed(0)
    ours, theirs = ([nn.Parameter(torch.ones(shape)) for shape in ((24, 16), (16, 24), (8, 8))] for _ in range(2))
    own = Muon(ours, 0.1, 0.3, nn.Identity(), nn.Identity())
    reference = torch.optim.Muon(theirs, lr=0.1, weight_decay=0.3, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        for one, other in zip(ours, theirs, strict=True):
            one.grad = torch.randn_like(one)
            other.grad = one.grad.clone()
        own.step()
        reference.step()
        assert all(map(torch.equal, ours, theirs))


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_a_step_that_is_none_leaves_weights_and_state_as_they_are(kind):
    """Whatever the gradient; and one that is a step is that without a mark, to the bit."""
    torch.manual_seed(0)
    settings = make_spec(f"training.optimizer={kind}", "training.learning_rate=0.1").training
    models = [nn.Sequential(nn.Linear(6, 8, bias=False), nn.Linear(8, 4, bias=False)) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    marked, plain = (make_optimizer(model, settings) for model in models)

    def held():
        return {**models[0].state_dict(), **marked.tensors()}

    for turn in range(4):
        x = torch.randn(5, 6)
        for model in models:
            (model(x) ** 2).sum().backward()
        if turn == 2:
            before = {name: tensor.clone() for name, tensor in held().items()}
            models[0][0].weight.grad[0, 0] = torch.nan
            marked.step(skip=torch.tensor(1.0))
            assert all(torch.equal(tensor, before[name]) for name, tensor in held().items())
            (models[0](x) ** 2).sum().backward()
        marked.step(skip=torch.tensor(0.0))
        plain.step()
        assert all(map(torch.equal, models[0].parameters(), models[1].parameters()))


def test_ema_follows_its_formula():
    model = build_model(make_spec())
    ema = Ema(model, decay=0.5)
    name, weight = next(iter(model.named_parameters()))
    expected = weight.detach().clone()
    for step in range(12):
        with torch.no_grad():
            weight.add_(1.0)
        ema.update(step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weight.detach()
    assert torch.allclose(ema.model.state_dict()[name], expected, rtol=1e-6)
    assert not any(parameter.requires_grad for parameter in ema.model.parameters())


@pytest.mark.parametrize(("step", "moved"), [(0, 0.9), (10**7, 0.0001)])
def test_ema_forgets_the_start(step: int, moved: float):
    model = build_model(make_spec())
    ema = Ema(model, decay=0.9999)
    name, weight = next(iter(model.named_parameters()))
    before = ema.model.get_parameter(name).clone()
    with torch.no_grad():
        weight.add_(1.0)
    ema.update(step)
    torch.testing.assert_close(
        ema.model.get_parameter(name) - before, torch.full_like(before, moved), rtol=0, atol=1e-6
    )
