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


def test_nothing_batched_is_no_condition() -> None:
    assert Condition.batched([]) == Condition()


def test_some_of_the_images() -> None:
    condition = Condition(vector=torch.arange(3.0)[:, None])
    assert condition.at(torch.tensor([2, 0])).vector.flatten().tolist() == [2, 0]
    assert condition.at(slice(1, 2)).tokens is None
