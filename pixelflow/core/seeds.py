"""Randomness without state: every draw has its own generator, derived from the seed, a purpose and indices.

A run that continues at step k therefore draws what the uninterrupted run drew, with no generator to save.
"""

from __future__ import annotations

import hashlib

import torch


def derive(seed: int, purpose: str, *indices: int) -> int:
    """A seed below 2**63 of its own for every (seed, purpose, indices)."""
    text = f"{seed}/{purpose}/{'/'.join(map(str, indices))}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def generator(seed: int, purpose: str, *indices: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A fresh generator seeded with `derive`."""
    return torch.Generator(device).manual_seed(derive(seed, purpose, *indices))
