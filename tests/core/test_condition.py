"""Conditions, batched, joined and picked from."""

from __future__ import annotations

import torch

from pixelflow.core.condition import Condition


def text(count: int, length: int) -> Condition:
    return Condition(tokens=torch.randn(count, length, 4), mask=torch.ones(count, length, dtype=torch.bool))


def test_batches_of_different_lengths_are_padded_and_masked() -> None:
    short, long = text(2, 3), text(1, 5)
    both = Condition.batched([short, long])
    assert both.vector is None
    assert both.tokens is not None
    assert both.mask is not None
    assert torch.equal(both.tokens[:2, :3], short.tokens)
    assert torch.equal(both.tokens[2], long.tokens[0])
    assert both.mask.sum(1).tolist() == [3, 3, 5]


def test_vectors_of_several_conditions_add_up_and_contexts_lie_behind_each_other() -> None:
    first, second = text(2, 3), text(2, 1)
    joined = Condition.joined([Condition(vector=torch.ones(2, 6)), Condition(vector=torch.ones(2, 6)), first, second])
    assert joined.vector is not None
    assert joined.tokens is not None
    assert joined.mask is not None
    assert torch.equal(joined.vector, torch.full((2, 6), 2.0))
    assert joined.tokens.shape == (2, 4, 4)
    assert joined.mask.shape == (2, 4)


def test_nothing_joined_is_no_condition() -> None:
    assert Condition.joined([]) == Condition() == Condition.batched([])


def test_some_of_the_images() -> None:
    condition = Condition(vector=torch.arange(3.0)[:, None])
    assert condition.at(torch.tensor([2, 0])).vector.flatten().tolist() == [2, 0]
    assert condition.at(slice(1, 2)).tokens is None
