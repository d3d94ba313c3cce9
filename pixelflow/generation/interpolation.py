"""Images on the way from one to another: between seeds, and between labels or captions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from pixelflow.core.interfaces import Upsampler
from pixelflow.core.labels import repeated
from pixelflow.core.sampling import SeededNoise
from pixelflow.generation.draw import Request
from pixelflow.generation.prompts import Prompt
from pixelflow.generation.result import Drawing
from pixelflow.generation.run import Run
from pixelflow.system.errors import UsageError

_MOST = 10_000
"""Frames."""


@dataclass(frozen=True)
class _Frames:
    """Which two of the ends each frame lies between, and how far it is from the first to the second."""

    first: Sequence[int]
    second: Sequence[int]
    shares: Sequence[float]


class BlendedNoise:
    """White noise between two seeds an image: ``cos(a) x + sin(a) y``, which is white again at every angle."""

    def __init__(
        self, first: Sequence[int], second: Sequence[int], shares: Sequence[float], device: torch.device
    ) -> None:
        self._ends = [SeededNoise(each, device) for each in (first, second)]
        angles = [0 if a == b else share * math.pi / 2 for a, b, share in zip(first, second, shares, strict=True)]
        self._angles = torch.tensor(angles, device=device).view(-1, 1, 1, 1)

    def white(self, channels: int, height: int, width: int) -> Tensor:
        x, y = (end.white(channels, height, width) for end in self._ends)
        return self._angles.cos() * x + self._angles.sin() * y

    def renoising(self, up: Upsampler, channels: int, height: int, width: int) -> Tensor:
        return up.shape_noise(self.white(channels, height, width))


def between(run: Run, *, seeds: Sequence[int], frames: int = 16, loop: bool = False, **given: Any) -> Drawing:
    """Decide on images that lead from one end to the next; `Drawing.draw` draws them.

    Noise goes from seed to seed on the circle that keeps it white, at every stage; what the images are conditioned on
    goes in a straight line in the space of the network's conditions. So every frame is an image that the run draws.

    Args:
        seeds: of the ends, which take turns if there are fewer than labels or prompts; one for all keeps the noise.
        frames: from one end to the next, without the latter.
        loop: whether the last end leads to the first again; else the last end is the last frame.
        given: what `Run.prepare` takes, such as ``labels=["3", "7"]``, ``prompts=``, ``steps=``, ``guidance=``; labels
            and prompts are those of the ends, and by default the first class is drawn.

    Raises:
        UsageError: there are fewer than two ends, or too many frames; and what `Run.prepare` raises.
    """
    if "label" in run.reads and given.get("labels") is None:
        given["labels"] = 0 if not run.classes else run.classes[0]
    given = {name: _listed(value) if name in ("labels", "prompts") else value for name, value in given.items()}
    ends = max([len(seeds), *(len(given[name]) for name in ("labels", "prompts") if given.get(name))])
    if not seeds or ends < 2:
        raise UsageError("an interpolation needs two ends: give several seeds, labels or prompts")
    steps = ends if loop else ends - 1
    if not 1 <= frames * steps <= _MOST:
        raise UsageError(f"{frames} frames for each of {steps} ways are {frames * steps}; 1 to {_MOST} can be drawn")
    own = run.prepare(**given, seeds=repeated(list(seeds), ends), count=ends)
    places = [(way, frame / frames) for way in range(steps) for frame in range(frames)]
    places += [] if loop else [(ends - 1, 0.0)]
    chosen = _Frames(
        [way for way, _ in places], [(way + 1) % ends for way, _ in places], [share for _, share in places]
    )
    titles = tuple(own.titles[way] if not share else "" for way, share in places)
    request = _request(own.request, chosen, repeated(list(seeds), ends), run.model.device)
    return replace(own, request=request, order=None, titles=titles)


def _request(ends: Request, chosen: _Frames, seeds: Sequence[int], device: torch.device) -> Request:
    first, second = [seeds[place] for place in chosen.first], [seeds[place] for place in chosen.second]
    towards = _at(ends.prompt, chosen.second)
    null = ends.null if ends.null is None or ends.null.count == 1 else _at(ends.null, chosen.first)
    return replace(
        ends,
        prompt=replace(_at(ends.prompt, chosen.first), towards=towards, shares=tuple(chosen.shares)),
        null=null,
        noise=lambda rows: BlendedNoise(first[rows], second[rows], chosen.shares[rows], device),
    )


def _at(prompt: Prompt, places: Sequence[int]) -> Prompt:
    """The prompts at these places."""
    values = {name: [column[place] for place in places] for name, column in prompt.values.items()}
    return Prompt(len(places), values, None if prompt.context is None else prompt.context.at(torch.tensor(places)))


def _listed(value: object) -> object:
    return list(value) if isinstance(value, Iterable) and not isinstance(value, str) else [value]
