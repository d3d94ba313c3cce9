"""Checks of objectives, weightings and terms, over a small network."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from pixelflow.contracts.checking import Check, expect, expect_close, expect_like
from pixelflow.contracts.partners import built_in
from pixelflow.core.cascade import Cascade
from pixelflow.core.interfaces import Objective, StageGroup, Term, Weighting, Work
from pixelflow.core.learner import FrozenLearner, Learner
from pixelflow.core.model import FlowModel
from pixelflow.core.schedule import make_stages
from pixelflow.core.work import Origin

_CPU = torch.device("cpu")
_COUNT = 4
"""Images of a work, half of them at each of two stages."""


def _model(seed: int) -> FlowModel:
    """A small network of random weights."""
    from pixelflow.core.registry import registry

    down, up = built_in("downsampler", "bilinear"), built_in("upsampler", "nearest")
    params = registry.of_kind("backbone")["dit"].cls.Params(depth=3, heads=2, head_dim=8, until=True)  # type: ignore[call-arg]
    backbone = params.build(channels=3, patches=(2, 2), context_dim=None)
    torch.manual_seed(seed)
    for parameter in backbone.parameters():
        nn.init.normal_(parameter, std=0.1)
    return FlowModel(Cascade(2, down, up), backbone, [], built_in("prediction", "velocity"))


def _work(model: FlowModel) -> Work:
    """Images of 16 pixels, the first two at the second stage, the others at the first."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(_COUNT, 3, 16, 16, generator=generator) * 2 - 1
    groups = []
    for stage, members in ((model.cascade.stages[1], [0, 1]), (model.cascade.stages[0], [2, 3])):
        clean = model.cascade.at_stage(images[members], stage)
        tau = torch.tensor([0.2, 0.7])
        states, targets = model.cascade.states(clean, torch.randn(clean.shape, generator=generator), tau, stage)
        groups.append(StageGroup(stage, torch.tensor(members), tau, states, targets, clean))
    return Work(groups, [], origin=Origin(_COUNT))


def _objective(params: Objective.Params, model: FlowModel) -> Objective:
    teacher = None if params.second_network is None else FrozenLearner(_model(1))
    objective: Objective = params.build(network=Learner(model), second=teacher, device=_CPU)
    return objective


def _alone(work: Work, part: int) -> Work:
    """The first image of each group (part 0), or the second."""
    return work.parts(2)[part]


def _are_losses(losses: Sequence[Tensor], work: Work) -> None:
    expect(isinstance(losses, list), f"it gives a {type(losses).__name__}, not a list")
    expect(len(losses) == len(work.groups), f"{len(work.groups)} groups have {len(losses)} tensors of losses")
    for loss, group in zip(losses, work.groups, strict=True):
        expect_like(loss, (len(group.members),), torch.float32, f"the loss at stage {group.stage.index}")


def _treats_images_alone(losses_of: Callable[[Work], Sequence[Tensor]], work: Work) -> None:
    together = losses_of(work)
    for part in range(2):
        for loss, own in zip(together, losses_of(_alone(work, part)), strict=True):
            expect_close(loss[part : part + 1], own, 1e-4, "an image alone has another loss")


def _reaches(losses: Sequence[Tensor], module: nn.Module, what: str) -> None:
    torch.cat([*losses]).sum().backward()
    reached = [p for p in module.parameters() if p.grad is not None and bool(p.grad.abs().sum() > 0)]
    expect(bool(reached), f"no gradient reaches {what}")
    expect(all(bool(p.grad.isfinite().all()) for p in reached if p.grad is not None), "a gradient is not finite")


def gives_losses(params: Objective.Params) -> None:
    """One finite loss an image, group by group, the same when it is asked again."""
    model = _model(0)
    objective, work = _objective(params, model), _work(model)
    losses = objective(work)
    _are_losses(losses, work)
    for loss, again in zip(losses, objective(work), strict=True):
        expect_close(loss, again, 1e-6, "the same work has another loss when it is asked again")


def trains_its_network(params: Objective.Params) -> None:
    """Gradients reach the network, and no second one."""
    model = _model(0)
    objective = _objective(params, model)
    _reaches(objective(_work(model)), model, "the network")
    teacher = objective.teacher
    if isinstance(teacher, nn.Module):
        expect(all(p.grad is None for p in teacher.parameters()), "the second network gets gradients")


def counts_images_alone(params: Objective.Params) -> None:
    """An image's loss does not depend on the batch around it."""
    model = _model(0)
    _treats_images_alone(_objective(params, model), _work(model))


def fits_some_cascade(params: Objective.Params | Weighting.Params) -> None:
    """``check`` refuses a number of stages with ValueError alone, and the settings fit some number."""
    expect(bool(_fitting(params)), "the settings fit no number of stages from 1 to 8")


def _fitting(params: Objective.Params | Weighting.Params) -> list[int]:
    fitting = []
    for stages in range(1, 9):
        try:
            params.check(stages)
        except ValueError:
            continue
        fitting.append(stages)
    return fitting


def gives_weights(params: Weighting.Params) -> None:
    """A finite factor of at least 0 for every time of every stage, on the times' device, not all of them 0."""
    weighting: Weighting = params.build()
    tau = torch.linspace(0, 1, 11)
    for count in _fitting(params):
        found = []
        for stage in make_stages(count, 2.0):
            weights = weighting.weights(tau, stage)
            expect_like(weights, tau.shape, torch.float32, f"the weights of stage {stage.index} of {count}")
            expect(bool((weights >= 0).all()), f"a weight of stage {stage.index} of {count} is negative")
            found.append(weights)
        expect(bool(torch.cat(found).sum() > 0), f"with {count} stages all weights are 0")


def weighs_images_alone(params: Weighting.Params) -> None:
    """An image's factor does not depend on the others."""
    weighting: Weighting = params.build()
    tau = torch.tensor([0.1, 0.5, 0.9])
    for stage in make_stages(_fitting(params)[-1], 2.0):
        expect_close(weighting.weights(tau, stage)[1:2], weighting.weights(tau[1:2], stage), 1e-6, "it differs alone")


def _term(params: Term.Params, model: FlowModel) -> tuple[Callable[[Work], Sequence[Tensor]], Term]:
    """The term's losses of a work, and the term."""
    learner = Learner(model)
    term: Term = params.build(device=_CPU, tap_widths=learner.tap_widths)
    return lambda work: term(learner(work, taps=term.taps)), term


def gives_a_loss(params: Term.Params) -> None:
    """One finite loss an image, group by group."""
    model = _model(0)
    work = _work(model)
    _are_losses(_term(params, model)[0](work), work)


def reaches_the_network(params: Term.Params) -> None:
    """Gradients reach the network, and the term's own weights if it has any."""
    model = _model(0)
    losses_of, term = _term(params, model)
    _reaches(losses_of(_work(model)), model, "the network")
    idle = [name for name, weight in term.named_parameters() if weight.requires_grad and weight.grad is None]
    expect(not idle, f"no gradient reaches its own {', '.join(idle[:3])}")


def judges_images_alone(params: Term.Params) -> None:
    """An image's loss does not depend on the batch around it."""
    model = _model(0)
    _treats_images_alone(_term(params, model)[0], _work(model))


OBJECTIVE_CHECKS: tuple[Check, ...] = (
    fits_some_cascade,
    gives_losses,
    trains_its_network,
    counts_images_alone,
)
WEIGHTING_CHECKS: tuple[Check, ...] = (fits_some_cascade, gives_weights, weighs_images_alone)
TERM_CHECKS: tuple[Check, ...] = (gives_a_loss, reaches_the_network, judges_images_alone)
