"""The one maker of orders: what is asked for, in Python or on the command line, to all that decides on the images."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pixelflow.core.model import FlowModel
from pixelflow.core.sizes import Size
from pixelflow.core.spec import ExperimentSpec, SamplingSpec
from pixelflow.generation.labels import Labels, repeated
from pixelflow.generation.orders import MOST_IMAGES, Order, Source
from pixelflow.generation.rewriting import chosen, rewritten
from pixelflow.generation.settings import check_negatives, check_weak, checked_size
from pixelflow.system.errors import UsageError

_SEEDS = 2**63
"""Seeds are below it, as derived ones are (`core.seeds.derive`), and as torch takes them."""


class Drawable(Protocol):
    """A run, as far as orders are made for it."""

    spec: ExperimentSpec
    model: FlowModel
    source: Source

    @property
    def labels(self) -> range: ...

    @property
    def reads(self) -> set[str]: ...

    def label_indices(self, labels: Labels) -> list[int]: ...

    def check_reads(self, *, label: bool, caption: bool) -> None: ...


@dataclass(frozen=True)
class Wish:
    """What is asked for, as people give it; what is left out is decided by `ordered`."""

    labels: Labels | None = None
    """By default all classes."""
    captions: Sequence[str] = ()
    negatives: Sequence[str] = ()
    """What guidance leads away from, in place of the empty caption."""
    rewriter: str | None = None
    """Of the captions, by name or as a block."""
    count: int | None = None
    """Images; labels, captions and negatives are repeated in order."""
    seed: int = 0
    """Of the first image; the next has ``seed + 1``."""
    seeds: Sequence[int] | None = None
    """One an image, in place of `seed`."""
    size: Size | None = None
    """Height and width, in place of the spec's."""
    noises: int | None = None
    """Images whose noise is given, in place of seeds."""
    embeddings: int | None = None
    """Captions that are given as embeddings, in place of words."""


def ordered(
    run: Drawable, wish: Wish, sampling: SamplingSpec, weak: Drawable | None = None, usual: int | None = None
) -> Order:
    """All that decides on the images.

    Args:
        weak: the weaker run of autoguidance.
        usual: how many images are drawn where nothing tells how many, and of how many classes at most; by default
            one of each class.

    Raises:
        UsageError: what does not fit the run, the sampling settings, or each other.
        SpecError: there is no such rewriter.
    """
    _check(run, wish, sampling, weak)
    indices = list(run.labels) if wish.labels is None else run.label_indices(wish.labels)
    total = _total(wish, indices, usual)
    order = Order(
        source=run.source,
        weak=weak.source if weak else None,
        sampling=sampling,
        labels=tuple(repeated(indices, total)) if "label" in run.reads else None,
        captions=tuple(repeated(wish.captions, total)) or None,
        negatives=tuple(repeated(wish.negatives, total)) or None,
        size=None if wish.size is None else checked_size(run.spec, wish.size),
        seeds=_seeds(wish, total),
        device=str(run.model.device),
    )
    return order if wish.rewriter is None else _rewritten(order, run, wish.rewriter)


def _check(run: Drawable, wish: Wish, sampling: SamplingSpec, weak: Drawable | None) -> None:
    has_text = bool(wish.captions) or wish.embeddings is not None
    asks_for_captions = has_text or bool(wish.negatives) or wish.rewriter is not None
    run.check_reads(label=wish.labels is not None, caption=asks_for_captions)
    if "caption" in run.reads and not has_text:
        raise UsageError('this run draws from captions; give --prompt "..." or --prompts FILE, in Python prompts=')
    has_encoder = any(conditioner.reads == "caption" for conditioner in run.model.conditioners)
    if (wish.captions or wish.negatives) and not has_encoder:
        raise UsageError("this run has no text encoder; in Python, give text= as token embeddings (b n d)")
    check_negatives(wish.negatives, sampling)
    if weak is not None:
        check_weak(sampling)
    if wish.count is not None and not 1 <= wish.count <= MOST_IMAGES:
        raise UsageError(f"count must be 1 to {MOST_IMAGES}, not {wish.count}")


def _total(wish: Wish, indices: Sequence[int], usual: int | None) -> int:
    """How many images are meant."""
    if wish.count is not None:
        return wish.count
    if wish.noises is not None:
        return wish.noises
    if wish.seeds is not None:
        return len(wish.seeds)
    shown = len(indices) if wish.labels is not None or usual is None else min(len(indices), usual)
    return max(len(wish.captions), wish.embeddings or 0, shown) or usual or 1


def _seeds(wish: Wish, total: int) -> tuple[int, ...]:
    seeds = range(wish.seed, wish.seed + total) if wish.seeds is None else [operator.index(one) for one in wish.seeds]
    if len(seeds) != total or not seeds:
        raise UsageError(f"{total} images need {total} seeds, not {len(seeds)}")
    outside = [seed for seed in (min(seeds), max(seeds)) if not 0 <= seed < _SEEDS]
    if outside:
        raise UsageError(f"seed {outside[0]} is outside 0 to {_SEEDS - 1}")
    return tuple(seeds)


def _rewritten(order: Order, run: Drawable, rewriter: str) -> Order:
    """The order with its captions rewritten, each different one once."""
    captions, record = rewritten(chosen(rewriter), order.captions or (), run.model.device)
    return order.model_copy(update={"captions": tuple(captions), "rewriting": record})
