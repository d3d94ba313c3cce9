"""Weights that are made in shares are those that are made whole."""

import pytest
import torch
from torch import nn

from pixelflow.core.assembly import build_model
from pixelflow.runs.weights import InShares
from pixelflow.system.errors import UsageError
from tests.conftest import make_spec


def halves(tensor: torch.Tensor, index: int) -> torch.Tensor:
    chunks = tensor.chunk(2)
    return chunks[index].clone() if index < len(chunks) else tensor[:0].clone()


def joined(make, *, draw: bool = True) -> dict[str, torch.Tensor]:
    """What two processes keep of a module that both make, put together."""
    kept = []
    for index in range(2):
        torch.manual_seed(5)
        with InShares(lambda tensor, index=index: halves(tensor, index), draw=draw) as making:
            module = make()
        assert all(one.is_meta for one in module.parameters())
        kept.append(making.of(module))
    assert kept[0].keys() == kept[1].keys()
    return {name: torch.cat([share, kept[1][name]]) for name, share in kept[0].items()}


BACKBONES = (
    "{type: dit, depth: 2, heads: 2, head_dim: 16}",
    "{type: jit, depth: 3, heads: 2, head_dim: 16, class_tokens: 3}",
    "{type: mmdit, depth: 2, heads: 2, head_dim: 16}",
    "{type: hourglass, depth: 2, heads: 2, head_dim: 16, level_channels: [16]}",
)
TEXT = "{type: bytes, dim: 16, depth: 1, heads: 2, words: true, vector: true}"


@pytest.mark.parametrize("conditioner", ["{type: class_label, classes: 10}", TEXT])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_network_starts_as_it_does_in_one_process(backbone, conditioner):
    spec = make_spec(f"backbone={backbone}", f"conditioners=[{conditioner}]")
    torch.manual_seed(5)
    whole = dict(build_model(spec).named_parameters())
    found = joined(lambda: build_model(spec))
    assert found.keys() == whole.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in whole.items())


class Odd(nn.Module):
    """Whatever torch's initialisers do, and parts of parameters that are set by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(6, 4, padding_idx=2)
        self.truncated = nn.Parameter(nn.init.trunc_normal_(torch.empty(5, 4)))
        self.later = nn.Linear(4, 6)
        nn.init.trunc_normal_(self.later.weight, std=0.1)
        self.later.weight.data.mul_(2)
        nn.init.orthogonal_(self.later.weight)
        with torch.no_grad():
            self.later.bias.copy_(torch.arange(6.0))
            self.later.bias[1] = 9
        self.ones = nn.Parameter(torch.ones(3))
        self.tied = self.ones
        self.register_buffer("steps", torch.arange(3))


def test_what_initialisers_do_is_followed():
    torch.manual_seed(5)
    whole = dict(Odd().named_parameters(remove_duplicate=False))
    found = joined(Odd)
    assert found.keys() == whole.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in whole.items())


def test_buffers_are_whole():
    with InShares(lambda tensor: halves(tensor, 0), draw=True):
        assert torch.equal(Odd().steps, torch.arange(3))


def test_without_drawing_no_number_is_drawn():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    with InShares(lambda tensor: halves(tensor, 0), draw=False) as making:
        module = nn.Linear(3, 3)
        nn.init.normal_(module.weight)
    assert torch.equal(torch.get_rng_state(), before)
    assert making.of(module) == {}


def test_what_cannot_be_followed_is_refused():
    """The first is no longer whole when it is changed again."""

    def late() -> nn.Module:
        first, _ = nn.Linear(2, 2), nn.Linear(2, 2)
        with torch.no_grad():
            first.weight.mul_(2)
        return first

    with pytest.raises(UsageError, match=r"training\.parallel=ddp"):
        joined(late)
