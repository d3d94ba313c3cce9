"""Linear layers in 8 bits: what is refused, and, with torchao, what is made of a network."""

from __future__ import annotations

import sys

import pytest
import torch

from pixelflow.core import float8
from pixelflow.core.interfaces import Backbone
from pixelflow.generation.draw import draw
from pixelflow.system.errors import MissingDependencyError, UsageError
from tests.conftest import lively_model, make_spec

WIDE = ("backbone.heads=2", "backbone.head_dim=32", "sampling.precision=float8")


def test_a_cpu_is_refused_before_anything_is_drawn():
    spec = make_spec(*WIDE)
    with pytest.raises(UsageError, match=r"sampling\.precision float8 needs a GPU, and this is the cpu; use bfloat16"):
        draw(lively_model(spec), spec, {}, [0])


@pytest.mark.parametrize(("capability", "reason"), [((8, 0), "8.9 or more, and this has 8.0"), ((9, 0), None)])
def test_older_gpus_are_refused(monkeypatch, capability, reason):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    found = float8.lacking(torch.device("cuda"))
    assert found is None if reason is None else reason in str(found)


@pytest.fixture
def allowed(monkeypatch):
    """As if the CPU were quick at it: torch multiplies numbers of 8 bits there too."""
    monkeypatch.setattr(float8, "lacking", lambda device: None)


def test_what_is_not_installed_is_named_with_its_command(allowed, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchao.quantization", None)
    spec = make_spec(*WIDE)
    with pytest.raises(MissingDependencyError, match=r"torchao: pip install 'pixelflow-toolkit\[float8\]'"):
        draw(lively_model(spec), spec, {}, [0])


def test_a_backbone_that_needs_autocast_is_refused(allowed, monkeypatch):
    spec = make_spec(*WIDE)
    model = lively_model(spec)
    monkeypatch.setattr(type(model.backbone), "runs_in_16_bits", Backbone.runs_in_16_bits)
    with pytest.raises(UsageError, match="the backbone dit does not run in 16 bits"):
        draw(model, spec, {}, [0])


def test_images_in_8_bits_are_those_of_more_up_to_their_rounding(allowed, monkeypatch):
    pytest.importorskip("torchao")
    from torchao.quantization import quant_api

    monkeypatch.setattr(quant_api, "_check_hardware_support", lambda granularity: None)
    spec = make_spec(*WIDE, "sampling.steps=2")
    model, before = lively_model(spec), torch.get_float32_matmul_precision()
    weights = {name: weight.clone() for name, weight in model.state_dict().items()}
    exact, half, eighth = (
        next(iter(draw(model, spec, {"label": [1, 2]}, [0, 1], sampling=own))).images
        for own in [spec.sampling.model_copy(update={"precision": one}) for one in ("float32", "bfloat16", "float8")]
    )
    assert 0 < (half - exact).norm() < (eighth - exact).norm() < 0.1 * exact.norm()
    assert all(torch.equal(weight, weights[name]) for name, weight in model.state_dict().items())
    assert torch.get_float32_matmul_precision() == before
    copy = draw_model(model, spec)
    kinds = {name: type(one).__name__ for name, one in copy.backbone.blocks.named_parameters() if "weight" in name}
    of_8_bits = {name.split(".", 1)[1] for name, kind in kinds.items() if kind == "Float8Tensor"}
    assert of_8_bits == {"attention.qkv.weight", "attention.out.weight", "mlp.inner.weight", "mlp.outer.weight"}


def draw_model(model, spec):
    from pixelflow.generation.ready import Flop, ready

    return ready(model, spec.sampling, Flop())
