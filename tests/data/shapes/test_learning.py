"""A small network learns within seconds what captions mean: a quick version of ``specs/shapes_t2i.yaml``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path

import pytest
import torch
from torch import Tensor

import pixelflow
from pixelflow.cli.app import main
from pixelflow.data.shapes.world import COLOURS, GROUNDS, SHAPES

SPEC = """
name: quick
image: {size: 16, channels: 3}
data: {type: shapes, count: 100000}
cascade: {kickoff: 2, patch: 4}
backbone: {type: dit, depth: 3, heads: 2, head_dim: 32}
conditioners: [{type: bytes, dim: 64, depth: 1, heads: 2, kernel: 3, words: true, vector: true, max_bytes: 128}]
objective: {stage_mix: [0.6, 0.4]}
training: {steps: 300, batch_size: 64, learning_rate: 3e-3, warmup: 20, lr_schedule: cosine, ema: 0.98, threads: 1,
           sample_every: null, save_every: 300, log_every: 100}
sampling: {steps: 4, guidance: {type: constant, scale: 2.0}}
"""


def ground(image: Tensor) -> str:
    """The ground whose brightness is nearest to the image's (3 h w) in the median."""
    brightness = (float(image.mean(0).median()) + 1) / 2
    return min(GROUNDS, key=lambda name: abs(GROUNDS[name] - brightness))


def colour(image: Tensor) -> str:
    """The colour nearest to the mean of the six most saturated pixels."""
    pixels = ((image.clamp(-1, 1) + 1) / 2).flatten(1)
    found = (pixels.amax(0) - pixels.amin(0)).topk(6).indices
    mean = pixels[:, found].mean(1)
    return min(COLOURS, key=lambda name: float((mean - torch.tensor(COLOURS[name])).square().sum()))


def drawn(folder: Path, spec: str) -> Iterator[tuple[Tensor, str, str]]:
    """Images of the network that this spec trains, each with the colour and the ground of its caption."""
    (folder / "quick.yaml").write_text(spec)
    with pytest.raises(SystemExit) as stop:
        main(["train", str(folder / "quick.yaml"), "--out", str(folder)])
    assert not stop.value.code
    wanted = [*product(COLOURS, SHAPES, GROUNDS)] * 2
    images = pixelflow.load(folder / "quick").sample(
        prompts=[f"a large {colour} {shape} on a {ground} background" for colour, shape, ground in wanted], seed=0
    )
    for image, (own, _, behind) in zip(images, wanted, strict=True):
        yield image, own, behind


def share(hits: Iterable[bool]) -> float:
    found = [*hits]
    return sum(found) / len(found)


SHORT = {"steps: 300": "steps: 45", "batch_size: 64": "batch_size: 32", "depth: 3": "depth: 2", "3e-3": "5e-3",
         "ema: 0.98": "ema: 0.95"}  # fmt: skip


def test_grounds_follow_their_captions(tmp_path):
    spec = SPEC
    for long, short in SHORT.items():
        spec = spec.replace(long, short)
    assert share(ground(image) == own for image, _, own in drawn(tmp_path, spec)) > 0.9  # by chance 0.33


@pytest.mark.slow
def test_colours_follow_their_captions(tmp_path):
    assert share(colour(image) == own for image, own, _ in drawn(tmp_path, SPEC)) > 0.22
    # by chance 0.14; 0.024 is one standard deviation
