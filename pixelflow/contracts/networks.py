"""Checks of backbones and conditioners."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor, nn

from pixelflow.contracts.checking import Check, expect, expect_close, expect_gradient, expect_like
from pixelflow.contracts.partners import WithField, built_in
from pixelflow.core.condition import Condition
from pixelflow.core.fields import LABEL, field_of
from pixelflow.core.interfaces import Backbone, Conditioner, Query
from pixelflow.system.errors import UsageError

_PATCHES = (2, 2)
_CONTEXT = 12
_WIDTH = 24

M = TypeVar("M", bound=nn.Module)


def _awake(network: M) -> M:
    """The network with small random weights everywhere: those that start at zero would hide mistakes."""
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.05)
    return network.eval()


def _backbone(params: Backbone.Params, context_dim: int | None = None) -> Backbone:
    return _awake(params.build(channels=3, patches=_PATCHES, context_dim=context_dim))


def _batch(width: int, context_dim: int | None = None) -> Query:
    """Two groups of unequal resolution, neither square; with text of unequal lengths, some of it masked inside."""
    images = [torch.randn(2, 3, 4, 8), torch.randn(1, 3, 8, 12)]
    time = torch.tensor([10.0, 300.0, 900.0])
    vector = torch.randn(3, width)
    if context_dim is None:
        return Query(images, [0, 1], time, Condition(vector=vector))
    mask = torch.tensor([[True] * 5, [True, False, True, False, False], [True] * 4 + [False]])
    return Query(images, [0, 1], time, Condition(vector, torch.randn(3, 5, context_dim), mask))


def _part(query: Query, rows: slice, images: Tensor, stage: int) -> Query:
    """Some of the images of a query, as a query of their own."""
    until = None if query.until is None else query.until[rows]
    return Query([images], [stage], query.time[rows], query.condition.at(rows), until, query.taps)


def gives_velocities(params: Backbone.Params) -> None:
    """One output of each group's shape, with or without context tokens."""
    for context_dim in (None, _CONTEXT):
        backbone = _backbone(params, context_dim)
        query = _batch(backbone.width, context_dim)
        for output, group in zip(backbone(query).groups, query.images, strict=True):
            expect_like(output, group.shape, group.dtype, "an output")


def packs_without_mixing(params: Backbone.Params) -> None:
    """A packed batch gives what its images give alone."""
    for context_dim in (None, _CONTEXT):
        backbone = _backbone(params, context_dim)
        query = _batch(backbone.width, context_dim)
        first, second = backbone(query).groups
        (alone,) = backbone(_part(query, slice(1, 2), query.images[0][1:], 0)).groups
        expect_close(first[1:], alone, 1e-4, "an image of the first group comes out otherwise alone")
        (alone,) = backbone(_part(query, slice(2, 3), query.images[1], 1)).groups
        expect_close(second, alone, 1e-4, "an image of the second group comes out otherwise alone")


def heeds_its_inputs(params: Backbone.Params) -> None:
    """The output depends on the image, the time and the condition."""
    backbone = _backbone(params)
    whole = _batch(backbone.width)
    query = _part(whole, slice(0, 2), whole.images[0], 0)
    (output,) = backbone(query).groups
    changed = {
        "image": replace(query, images=[query.images[0] + 1]),
        "time": replace(query, time=query.time + 100),
        "condition": replace(query, condition=whole.condition.at(slice(1, 3))),
    }
    if backbone.takes_until:
        changed["second time, which it says it takes"] = replace(query, until=query.time + 50)
    for what, other in changed.items():
        heeded = not torch.allclose(output, backbone(other).groups[0], rtol=0, atol=1e-7)
        expect(heeded, f"the output ignores the {what}")


def heeds_its_text(params: Backbone.Params) -> None:
    """With context tokens the output depends on those that count, and on no others."""
    backbone = _backbone(params, _CONTEXT)
    query = _batch(backbone.width, _CONTEXT)
    tokens, mask = query.condition.tokens, query.condition.mask
    assert tokens is not None
    assert mask is not None
    before = torch.cat([group.flatten() for group in backbone(query).groups])
    for counts, rows in ((True, mask), (False, ~mask)):
        condition = replace(query.condition, tokens=tokens + rows[..., None])
        after = torch.cat([group.flatten() for group in backbone(replace(query, condition=condition)).groups])
        differs = not torch.allclose(before, after, rtol=0, atol=1e-6)
        expect(differs == counts, "the output ignores the text" if counts else "masked text changes the output")


def shows_its_features(params: Backbone.Params) -> None:
    """Each tap gives a map of the stated channels for every image, with a gradient; the output stays the same."""
    backbone = _backbone(params)
    query = _batch(backbone.width)
    widths = backbone.tap_widths
    if not widths:
        return
    taps = list(dict.fromkeys((0, len(widths) - 1)))
    plain, tapped = backbone(query), backbone(replace(query, taps=taps))
    expect(len(tapped.features) == len(taps), f"{len(taps)} taps give {len(tapped.features)} features")
    for tap, maps in zip(taps, tapped.features, strict=True):
        for images, one in zip(query.images, maps, strict=True):
            expect_like(one, (len(images), widths[tap], *one.shape[2:]), torch.float32, f"the map of tap {tap}")
            expect(one.ndim == 4, f"tap {tap} gives {tuple(one.shape)}, not (b d rows cols)")
            expect(one.requires_grad, f"the map of tap {tap} has no gradient")
    same = all(torch.equal(one, other) for one, other in zip(plain.groups, tapped.groups, strict=True))
    expect(same, "the output is another one where features are asked for")


def trains(params: Backbone.Params) -> None:
    """A gradient reaches every weight of a network on its way, with or without context tokens."""
    for context_dim in (None, _CONTEXT):
        backbone = _backbone(params, context_dim)
        outputs = backbone(_batch(backbone.width, context_dim)).groups
        torch.cat([output.flatten() for output in outputs]).square().sum().backward()
        idle = [name for name, parameter in backbone.named_parameters() if parameter.grad is None]
        expect(not idle, f"no gradient reaches {', '.join(idle[:3])}{' with text' if context_dim else ''}")


def states_its_cost(params: Backbone.Params) -> None:
    """``cost`` is positive, and more tokens cost more."""
    backbone = _backbone(params)
    small, large = backbone.cost(2, 4, 0, 0), backbone.cost(4, 4, 0, 0)
    expect(0 < small.macs < large.macs, f"8 tokens cost {small.macs} and 16 {large.macs} multiply-accumulates")
    expect(0 <= small.attention_macs <= small.macs, "attention costs more than everything")
    expect(0 < small.activations < large.activations, "more tokens do not keep more activations")


def _resolved(params: Conditioner.Params) -> Conditioner.Params:
    cls = params.component
    assert issubclass(cls, Conditioner)
    digits = built_in("dataset", "digits", height=8, width=8, channels=1)
    found = params.resolved(digits if cls.reads == LABEL.name else WithField(digits, cls.reads, cls.examples()))
    assert isinstance(found, Conditioner.Params)
    return found


def _conditioner(params: Conditioner.Params) -> Conditioner:
    return _resolved(params).build(width=_WIDTH)


def _values(conditioner: Conditioner) -> Sequence[object]:
    return conditioner.examples()


def prepares_values(params: Conditioner.Params) -> None:
    """``prepare`` and ``null`` give tensors of one kind, the batch first."""
    conditioner = _conditioner(params)
    prepared, null = conditioner.prepare(_values(conditioner)), conditioner.null(3)
    expect(len(prepared) == 3, f"three values were prepared to {len(prepared)}")
    expect_like(null, prepared.shape, prepared.dtype, "the null condition")


def gives_conditions(params: Conditioner.Params) -> None:
    """Conditions of all images, of the width and the context that the settings state."""
    conditioner = _conditioner(params)
    condition = conditioner(conditioner.prepare(_values(conditioner)))
    expect(condition.vector is not None or condition.tokens is not None, "the condition is empty")
    if condition.vector is not None:
        expect_like(condition.vector, (3, _WIDTH), torch.float32, "the vector")
    stated = _resolved(params).context_dim
    given = None if condition.tokens is None else condition.tokens.shape[-1]
    expect(given == stated, f"the context has {given} channels; context_dim says {stated}")
    if condition.tokens is not None:
        expect(condition.mask is not None, "there are context tokens but no mask")


def tells_values_apart(params: Conditioner.Params) -> None:
    """Different values give different conditions, and no value a third."""
    conditioner = _conditioner(params)
    prepared = torch.cat([conditioner.prepare(_values(conditioner)), conditioner.null(1)])
    condition = conditioner(prepared)
    rows = condition.vector if condition.vector is not None else condition.tokens
    assert rows is not None
    same = [(i, j) for i in (0, 2, 3) for j in (0, 2, 3) if i < j and torch.equal(rows[i], rows[j])]
    expect(not same, "two values give one condition")


def refuses_nonsense(params: Conditioner.Params) -> None:
    """A value that it cannot know raises UsageError."""
    conditioner = _conditioner(params)
    nonsense = field_of(conditioner.reads).nonsense
    try:
        conditioner.prepare([nonsense])
    except UsageError:
        return
    expect(False, f"it prepared {nonsense!r}")


def follows_names_of_classes(params: Conditioner.Params) -> None:
    """Where it can take weights over for other classes, each class gets the condition that it had there."""
    there, here = _conditioner(params), _conditioner(params)
    if there.reads != LABEL.name:
        return
    places = list(reversed(range(10)))
    weights = here.for_classes(there.state_dict(), places)
    if weights is None:
        return
    here.load_state_dict({**here.state_dict(), **weights})
    labels = [0, 3, 9]
    own, theirs = (torch.cat([one.prepare(asked), one.null(1)]) for one, asked in ((here, labels), (there, [9, 6, 0])))
    moved, before = here(own).vector, there(theirs).vector
    if moved is not None and before is not None:
        expect_close(moved, before, 1e-6, "a class has another condition than the one of its name")


def can_be_trained(params: Conditioner.Params) -> None:
    """Where it has trainable weights, a gradient reaches one."""
    conditioner = _conditioner(params)
    weights = [parameter for parameter in conditioner.parameters() if parameter.requires_grad]
    condition = conditioner(conditioner.prepare(_values(conditioner)))
    rows = condition.vector if condition.vector is not None else condition.tokens
    if weights and rows is not None:
        expect_gradient(rows, weights[0], "the conditioner")


BACKBONE_CHECKS: tuple[Check, ...] = (
    gives_velocities,
    packs_without_mixing,
    heeds_its_inputs,
    heeds_its_text,
    shows_its_features,
    trains,
    states_its_cost,
)
CONDITIONER_CHECKS: tuple[Check, ...] = (
    prepares_values,
    gives_conditions,
    tells_values_apart,
    refuses_nonsense,
    follows_names_of_classes,
    can_be_trained,
)
