"""What a batch is trained on, against the plain formulas."""

import math
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pixelflow.core import seeds
from pixelflow.core.assembly import build_model
from pixelflow.system.errors import DataError
from pixelflow.system.parallel import Parallel
from pixelflow.training.loader import Batch, grouped
from pixelflow.training.objective import Deal, WorkMaker, build_objective
from tests.conftest import make_spec


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def trained_model(spec):
    """A model whose zero-initialised ends are not zero, or its output would be."""
    torch.manual_seed(0)
    model = build_model(spec)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return model.train()


def make_batch(spec, count: int) -> Batch:
    images = torch.rand(count, spec.image.channels, *spec.image.size, generator=generator()) * 2 - 1
    return Batch(grouped(images), {"label": [index % 10 for index in range(count)]})


@pytest.mark.parametrize("stages", [1, 2, 3])
def test_the_loss_is_that_of_each_image_alone(stages):
    """Packed, shuffled and grouped by stage against one image at a time, from the paper's equations."""
    spec = make_spec(f"cascade.stages={stages}", "image.size=[16,32]")
    model, batch = trained_model(spec), make_batch(spec, 7)
    work = WorkMaker(model, spec)(batch, step=5)
    losses = build_objective(spec, model, model)(work)
    assert sum(len(group.members) for group in work.groups) == 7
    for group, group_losses in zip(work.groups, losses, strict=True):
        stage = group.stage
        noise = torch.randn(group.states.shape, generator=seeds.generator(spec.seed, "noise", 0, 5, stage.index))
        for row, image in enumerate(group.members.tolist()):
            clean = batch.groups[0].pixels[image : image + 1]
            for _ in range(stage.halvings):
                clean = model.cascade.down(clean)
            tau, n = group.tau[row], noise[row : row + 1]
            coarse = model.cascade.up(model.cascade.down(clean)) if stage.index else torch.zeros_like(clean)
            start = stage.start * coarse + (1 - stage.start) * n
            end = stage.end * clean + (1 - stage.end) * n
            state = tau * end + (1 - tau) * start
            condition = model.condition([work.conditions[0][image : image + 1]])
            velocity = model([state], [stage], [tau[None]], condition)[0]
            expected = ((velocity - (end - start)) ** 2).mean()
            assert group_losses[row].item() == pytest.approx(expected.item(), rel=1e-5)


def test_groups_are_finest_first_and_cover_the_batch():
    spec = make_spec("cascade.stages=3")
    work = WorkMaker(trained_model(spec), spec)(make_batch(spec, 9), 0)
    assert [group.stage.index for group in work.groups] == [2, 1, 0]
    assert sorted(torch.cat([group.members for group in work.groups]).tolist()) == list(range(9))


def test_a_step_depends_on_the_seed_and_its_number_alone():
    spec = make_spec()
    model, batch = trained_model(spec), make_batch(spec, 6)
    make = WorkMaker(model, spec)
    first = make(batch, 4)
    torch.manual_seed(99)
    make(batch, 3)
    again, other = WorkMaker(model, spec)(batch, 4), make(batch, 5)
    assert all(torch.equal(a.states, b.states) for a, b in zip(first.groups, again.groups, strict=True))
    assert not torch.equal(first.groups[0].tau, other.groups[0].tau)


def deal(shares) -> Deal:
    spec = make_spec()
    objective = spec.objective.model_copy(update={"stage_mix": tuple(shares)})
    return Deal(spec.model_copy(update={"objective": objective}), Parallel(torch.device("cpu")))


@given(st.integers(1, 60), st.lists(st.floats(0, 10), min_size=1, max_size=6).filter(lambda s: sum(s) > 0.1))
def test_every_stage_gets_its_share_rounded_down_or_up(count, shares):
    found = Counter(deal(shares)(count, count)[0].tolist())
    assert sum(found.values()) == count
    for stage, share in enumerate(shares):
        exact = count * share / sum(shares)
        assert math.floor(exact - 1e-9) <= found[stage] <= math.ceil(exact + 1e-9)


def test_an_uneven_split_is_even_on_average_and_shuffled():
    shared = deal((1, 1, 1))
    draws = [shared(step, 10)[0] for step in range(400)]
    counts = torch.stack([torch.bincount(draw, minlength=3) for draw in draws]).float()
    assert torch.allclose(counts.mean(0), torch.full((3,), 10 / 3), atol=0.1)
    positions = torch.stack(draws).float().mean(0)
    assert torch.allclose(positions, torch.ones(10), atol=0.2)


def test_a_stage_without_a_share_is_not_trained():
    spec = make_spec("objective.stage_mix=[0,1]")
    work = WorkMaker(trained_model(spec), spec)(make_batch(spec, 8), 0)
    assert [group.stage.index for group in work.groups] == [1]


@pytest.mark.parametrize("rate", [0.0, 0.25, 1.0])
def test_conditions_are_dropped_at_the_rate(rate):
    spec = make_spec(f"objective.condition_dropout={rate}")
    make, batch = WorkMaker(trained_model(spec), spec), make_batch(spec, 200)
    null = 10
    dropped = torch.cat([make(batch, step).conditions[0] == null for step in range(10)])
    assert dropped.float().mean() == pytest.approx(rate, abs=0.03)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_parts_share_every_stage_and_lose_nothing(count):
    spec = make_spec()
    work = WorkMaker(trained_model(spec), spec)(make_batch(spec, 12), 0)
    parts = work.parts(count)
    members = torch.cat([group.members for part in parts for group in part.groups])
    assert sorted(members.tolist()) == list(range(12))
    sizes = [[len(group.members) for group in part.groups] for part in parts]
    assert max(map(sum, sizes)) - min(map(sum, sizes)) <= 1
    assert all(len(part.groups) == 2 for part in parts)


def test_data_without_labels_are_refused():
    spec = make_spec()
    batch = Batch(make_batch(spec, 2).groups, {})
    with pytest.raises(DataError, match="class_label reads labels"):
        WorkMaker(trained_model(spec), spec)(batch, 0)
