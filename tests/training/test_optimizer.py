"""Rate, clipping and the optimizer's state."""

import pytest
import torch
from torch import nn

from pixelflow.core.assembly import build_model
from pixelflow.core.ema import Ema, decay_at
from pixelflow.training.optimizer import (
    clip_gradients,
    make_optimizer,
    optimizer_tensors,
    rate_at,
    restore_optimizer,
    set_rate,
)
from tests.conftest import make_spec


def training(*overrides: str):
    return make_spec("training.learning_rate=1.0", *overrides).training


def test_warm_up_rises_linearly_to_the_rate():
    settings = training("training.warmup=4", "training.steps=10")
    assert [rate_at(step, settings) for step in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]


def test_cosine_falls_from_the_rate_to_nothing():
    settings = training("training.warmup=2", "training.steps=12", "training.decay=cosine")
    assert rate_at(2, settings) == 1
    assert rate_at(7, settings) == pytest.approx(0.5)
    assert rate_at(12, settings) == pytest.approx(0)
    rates = [rate_at(step, settings) for step in range(2, 12)]
    assert rates == sorted(rates, reverse=True)


def test_a_warm_up_longer_than_the_run_is_allowed():
    assert rate_at(3, training("training.warmup=100", "training.decay=cosine")) == pytest.approx(0.04)


@pytest.mark.parametrize(("largest", "after"), [(1.0, 1.0), (100.0, 5.0), (None, 5.0)])
def test_gradients_are_clipped_to_the_norm(largest, after):
    layer = nn.Linear(2, 1, bias=False)
    layer.weight.grad = torch.tensor([[3.0, 4.0]])
    assert clip_gradients(layer, largest).item() == pytest.approx(5)
    assert layer.weight.grad.norm().item() == pytest.approx(after, rel=1e-5)


def step_of(model: nn.Module, optimizer: torch.optim.AdamW) -> None:
    (model(torch.ones(3, 4)) ** 2).sum().backward()
    optimizer.step()
    optimizer.zero_grad()


def test_the_state_comes_back_by_name():
    spec = make_spec("training.weight_decay=0.1")
    torch.manual_seed(0)
    one = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    one[0].bias.requires_grad_(False)
    first = make_optimizer(one, spec.training)
    step_of(one, first)
    other = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    other[0].bias.requires_grad_(False)
    other.load_state_dict(one.state_dict())
    second = make_optimizer(other, spec.training)
    tensors = optimizer_tensors(first, one)
    assert "exp_avg/1.weight" in tensors
    restore_optimizer(second, other, {name: tensor.clone() for name, tensor in tensors.items()})
    for _ in range(2):
        step_of(one, first)
        step_of(other, second)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_one_rate_for_all():
    model = nn.Linear(2, 2)
    optimizer = make_optimizer(model, make_spec().training)
    set_rate(optimizer, 0.125)
    assert {group["lr"] for group in optimizer.param_groups} == {0.125}


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


def test_ema_forgets_the_start():
    assert decay_at(0, 0.9999) == pytest.approx(0.1)
    assert decay_at(10**7, 0.9999) == 0.9999
