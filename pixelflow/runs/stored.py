"""The weights of a run as people ask for them: of a checkpoint, or an average that is made of snapshots."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from torch import Tensor

from pixelflow.core.training_settings import LONGEST_POWER_EMA
from pixelflow.runs import checkpoint
from pixelflow.runs.power_average import Profile, combination, part_of_length
from pixelflow.runs.runfolder import RunFolder
from pixelflow.runs.weights import PARTS
from pixelflow.system import terminal
from pixelflow.system.errors import MissingInputError, UsageError

_FAR = 0.1
"""Distance from the profile that was asked for, as a share of it, from which on an average is refused."""
_NOTHING = 1e-7
"""Share of a snapshot that is not worth reading it."""


@dataclass(frozen=True)
class StoredWeights:
    """Weights on the CPU, and what they are of."""

    step: int
    weights: str
    """``ema``, ``raw``, or the length of an average as a number."""
    tensors: dict[str, Tensor]
    sha256: str
    """Tells them from all others: the hash of their file, or of what they are made of."""


def stored(run: RunFolder, step: int | None, weights: str) -> StoredWeights:
    """Weights of a run by name, or an average of a length: ``"0.075"``.

    Raises:
        UsageError: there are no weights of this name; or no such average can be made of what was followed.
        MissingInputError: there is no such checkpoint or snapshot.
        DataError: it is damaged.
    """
    part = PARTS.get(weights)
    if part is None:
        return _average(run, step, length_of(weights))
    found = checkpoint.load(run.checkpoints, step, [part])
    return StoredWeights(found.step, weights, found.tensors[part], found.digest(part))


def length_of(weights: str) -> float:
    """The length of an average that weights are named by; raises UsageError where it is none."""
    try:
        length = float(weights)
    except ValueError:
        names = ", ".join(PARTS)
        raise UsageError(f"weights {weights!r} are unknown; use one of: {names}, or the length of an average") from None
    if not 0 < length <= LONGEST_POWER_EMA:
        raise UsageError(f"weights {weights}: the length of an average is above 0 and at most {LONGEST_POWER_EMA}")
    return length


def _average(run: RunFolder, step: int | None, length: float) -> StoredWeights:
    power = run.read_spec(to_draw=True).training.power_ema
    steps = checkpoint.steps(run.averages)
    if power is None or not steps:
        raise UsageError(
            f"{run.path}: keeps no averages of which others can be made (training.power_ema), so weights {length:g} "
            "are not there; use ema or raw"
        )
    wanted = Profile(steps[-1] if step is None else step, length)
    kept = [Profile(time, each) for time in steps if time <= wanted.time for each in power.lengths]
    if not kept:
        raise MissingInputError(f"{run.path}: keeps no averages of step {wanted.time} or before (first: {steps[0]})")
    shares, left = combination(kept, wanted)
    told = f"{run.path}: the average of length {length:g} at step {wanted.time}"
    if left > _FAR:
        raise UsageError(
            f"{told} is not within reach of what was followed ({_listed(power.lengths)}, snapshots "
            f"at {_steps(steps)}): what comes nearest is {left:.0%} off; choose a length near those"
        )
    terminal.say(f"{told} comes from {len(kept)} averages, to {left:.1%} of its profile")
    return StoredWeights(wanted.time, f"{length:g}", *_combined(run, kept, [float(share) for share in shares]))


def _combined(run: RunFolder, kept: list[Profile], shares: list[float]) -> tuple[dict[str, Tensor], str]:
    """The sum of averages by their shares, one snapshot in memory at a time; and a hash of what went into it."""
    total, recipe = dict[str, Tensor](), list[tuple[str, float]]()
    for time in sorted({one.time for one in kept}):
        own = {part_of_length(p.length): s for p, s in zip(kept, shares, strict=True) if p.time == time}
        own = {part: share for part, share in own.items() if abs(share) > _NOTHING}
        found = checkpoint.load(run.averages, time, own)
        for part, share in own.items():
            recipe.append((found.digest(part), share))
            for name, tensor in found.tensors[part].items():
                if not tensor.is_floating_point():
                    total[name] = tensor
                elif name in total:
                    total[name].add_(tensor, alpha=share)
                else:
                    total[name] = tensor * share
    return total, hashlib.sha256(json.dumps(recipe).encode()).hexdigest()


def _listed(lengths: tuple[float, ...]) -> str:
    return " and ".join(f"{length:g}" for length in lengths)


def _steps(steps: list[int]) -> str:
    shown = ", ".join(map(str, steps[:4]))
    return shown if len(steps) <= 4 else f"{shown} ... {steps[-1]}"
