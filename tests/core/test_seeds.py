"""Seeds: one for every purpose and place, without state."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from pixelflow.core.seeds import derive, generator

PLACES = st.tuples(st.integers(0, 2**63 - 1), st.sampled_from(["noise", "order"]), st.lists(st.integers(0, 10**6)))


@given(PLACES, PLACES)
def test_every_place_has_its_own_seed(one, other):
    seeds = [derive(seed, purpose, *indices) for seed, purpose, indices in (one, other)]
    assert (seeds[0] == seeds[1]) == (one == other)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_seeds_stay_what_they_are():
    """Runs that are continued by a later version must draw the same."""
    assert derive(0, "noise", 1, 2) == 4294442165427462769


def test_a_generator_starts_afresh():
    draws = [torch.randn(3, generator=generator(5, "noise", 1)) for _ in range(2)]
    assert torch.equal(*draws)
