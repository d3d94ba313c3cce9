"""Results through shared memory."""

import itertools
import os

import numpy as np
import pytest

from pixelflow.training.shared import Slots
from pixelflow.training.workers import read_ahead


def square(order: int) -> tuple[int, np.ndarray, np.ndarray]:
    """Results that grow, with a large and a small array."""
    return order, np.full((300, 300 + 50 * order), order, np.uint8), np.arange(order)


@pytest.mark.parametrize("workers", [1, 3])
def test_results_are_whole_whatever_their_size(workers):
    stream = read_ahead(square, iter(itertools.count()), workers, lambda one: (one[0], one[1].copy(), one[2].copy()))
    for order, (told, large, small) in zip(range(40), stream, strict=False):
        assert told == order
        assert np.array_equal(large, square(order)[1])
        assert np.array_equal(small, np.arange(order))
    stream.close()


def test_large_arrays_are_not_in_the_message_and_stay_until_as_many_more_have_come():
    there, here = Slots(2), None
    here = Slots(2, os.dup(there._file))
    arrays = [np.full(100_000, value, np.uint8) for value in range(4)]
    messages = [there.dumps(arrays[0]), there.dumps(arrays[1])]
    assert all(len(message) < 1000 for message in messages)
    found = [here.loads(message) for message in messages]
    assert np.array_equal(found[0], arrays[0])
    assert np.array_equal(found[1], arrays[1])
    there.dumps(arrays[2])
    assert found[0][0] == 2, "its memory is used again"
    larger = here.loads(there.dumps(np.full(1_000_000, 7, np.uint8)))
    assert larger.sum() == 7_000_000
    assert found[1][0] == 1, "what is not read yet stays where it is"
    there.close()
    here.close()


def test_processes_that_are_not_forked_have_them_too():
    import multiprocessing

    method = multiprocessing.get_start_method()
    multiprocessing.set_start_method("spawn", force=True)
    try:
        stream = read_ahead(square, iter(itertools.count()), 1, lambda one: int(one[1].sum()))
        assert [next(stream), next(stream)] == [0, 300 * 350]
        stream.close()
    finally:
        multiprocessing.set_start_method(method, force=True)
