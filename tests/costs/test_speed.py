"""Speeds count the work that is done, and shares are of a peak that was measured."""

from __future__ import annotations

import pytest
import torch

from pixelflow.costs import speed
from pixelflow.costs.planning import FLOP_PER_MAC, costs
from pixelflow.system.errors import OutOfMemoryError
from tests.conftest import lively_model, make_spec

CPU = torch.device("cpu")


def test_the_peak_is_that_of_the_best_square_product(monkeypatch):
    monkeypatch.setattr(speed, "best_seconds", lambda call, device, repeats: len(call()) / 1000)
    assert speed.matmul_peak("bfloat16", CPU) == pytest.approx(2 * 2048**2 * 1000)


def test_the_shortest_call_counts_and_the_first_does_not(monkeypatch):
    calls, clock = [], iter([10.0, 13.0, 14.0, 19.0])
    monkeypatch.setattr(speed, "_now", lambda device: next(clock))
    assert speed.best_seconds(lambda: calls.append(1), CPU, repeats=3) == 1.0
    assert len(calls) == 4


@pytest.mark.parametrize(
    ("guidance", "cache"),
    [("none", "null"), ("{type: constant, scale: 1.5}", "null"), ("none", "{every: 2, share: 1.0}")],
)
def test_shares_are_work_over_time_and_peak(guidance, cache):
    """Blocks that are left out are no work."""
    spec = make_spec(f"sampling={{steps: [2, 3], guidance: {guidance}, block_cache: {cache}}}")
    assert (costs(spec).stages[-1].left_out > 0) == (cache != "null")
    peak = 1e9
    found = speed.sampling_speed(lively_model(spec), spec, 10, 2, peak, repeats=1)
    assert [stage.nfe for stage in found.stages] == [stage.nfe for stage in costs(spec).stages]
    for own, cost in zip(found.stages, costs(spec).stages, strict=True):
        assert own.share * own.seconds * peak == pytest.approx(FLOP_PER_MAC * cost.sample_macs)
    assert found.seconds == pytest.approx(sum(stage.seconds for stage in found.stages))
    assert found.share * found.seconds * peak == pytest.approx(FLOP_PER_MAC * costs(spec).sample_macs)


def test_training_is_measured_on_what_is_computed_at_a_time():
    spec = make_spec(
        "training.grad_accumulation=2", "conditioners=[{type: class_label, classes: 10}, {type: bytes, dim: 16}]"
    )
    found = speed.training_speed(lively_model(spec), spec, 10, peak=1e9, repeats=1)
    assert found.batch_size == 4
    work = 3 * FLOP_PER_MAC * costs(spec).forward_macs
    assert found.share * 1e9 == pytest.approx(work * found.images_per_second)


def test_batches_end_where_memory_does(monkeypatch):
    original = speed.sampling_speed

    def limited(model, spec, classes, batch_size, *rest):
        if batch_size > 2:
            raise OutOfMemoryError("out of memory")
        return original(model, spec, classes, batch_size, *rest)

    monkeypatch.setattr(speed, "sampling_speed", limited)
    spec = make_spec("sampling.steps=1")
    found = speed.sampling_speeds(lively_model(spec), spec, 10, (1, 2, 4, 8), peak=1e9, repeats=1)
    assert [one.batch_size for one in found] == [1, 2]
