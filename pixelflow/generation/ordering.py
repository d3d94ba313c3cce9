"""The one maker of orders: what is asked for, in Python or on the command line, to all that decides on the images."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from pixelflow.core.fields import CAPTION, LABEL, Classes, captions_in, field_of, labels_in
from pixelflow.core.labels import repeated
from pixelflow.core.model import FlowModel
from pixelflow.core.sizes import Size
from pixelflow.core.spec import ExperimentSpec, SamplingSpec
from pixelflow.generation.editing import Edit, editing
from pixelflow.generation.orders import MOST_IMAGES, Order, WeightsSource
from pixelflow.generation.rewriting import chosen, rewritten
from pixelflow.generation.settings import check_negatives, check_weak, checked_size
from pixelflow.system.errors import UsageError

_SEEDS = 2**63
"""Seeds are below it, as derived ones are (`core.seeds.derive`), and as torch takes them."""
_BUILT_IN = {LABEL.name, CAPTION.name}
"""Fields that have columns of their own in an order."""


class Drawable(Protocol):
    """A run, as far as orders are made for it."""

    spec: ExperimentSpec
    model: FlowModel
    source: WeightsSource

    @property
    def known(self) -> Classes: ...

    @property
    def reads(self) -> set[str]: ...

    def check_reads(self, names: Iterable[str]) -> None: ...


@dataclass(frozen=True)
class Wish:
    """What is asked for, as people give it; what is left out is decided by `ordered`."""

    given: Mapping[str, object] = field(default_factory=dict)
    """Field -> values, as `core.fields.ConditionField.values` takes them; of labels by default all classes."""
    negatives: Sequence[str] = ()
    """What guidance leads away from, in place of the empty caption."""
    rewriter: str | None = None
    """Of the captions, by name or as a block."""
    count: int | None = None
    """Images; all values, and negatives, are repeated in order."""
    seed: int = 0
    """Of the first image; the next has ``seed + 1``."""
    seeds: Sequence[int] | None = None
    """One an image, in place of `seed`."""
    size: Size | None = None
    """Height and width, in place of the spec's."""
    noises: int | None = None
    """Images whose noise is given, in place of seeds."""
    edit: Edit | None = None
    """What the images are made from, in place of noise alone."""
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
    values = _values(run, wish)
    total = _total(wish, values, usual)
    size = run.spec.image.size if wish.size is None else checked_size(run.spec, wish.size)
    channels, cascade = run.spec.image.channels, run.model.cascade
    labels, captions = labels_in(values), captions_in(values)
    others = {name: tuple(map(field_of(name).kept, values[name])) for name in sorted(values.keys() - _BUILT_IN)}
    order = Order(
        source=run.source,
        weak=weak.source if weak else None,
        sampling=sampling,
        labels=None if labels is None else tuple(repeated(labels, total)),
        captions=tuple(repeated(captions or (), total)) or None,
        fields=others or None,
        negatives=tuple(repeated(wish.negatives, total)) or None,
        size=None if wish.size is None else size,
        edit=None if wish.edit is None else editing(wish.edit, size, channels, cascade),
        seeds=_seeds(wish, total),
        device=str(run.model.device),
    )
    return order if wish.rewriter is None else _rewritten(order, run, wish.rewriter)


def _check(run: Drawable, wish: Wish, sampling: SamplingSpec, weak: Drawable | None) -> None:
    needs_captions = wish.embeddings is not None or wish.negatives or wish.rewriter is not None
    run.check_reads([*wish.given, *([CAPTION.name] if needs_captions else [])])
    has_encoder = any(conditioner.reads == CAPTION.name for conditioner in run.model.conditioners)
    if (CAPTION.name in wish.given or wish.negatives) and not has_encoder:
        raise UsageError("this run has no text encoder; in Python, give text= as token embeddings (b n d)")
    if wish.negatives:
        check_negatives(sampling)
    if weak is not None:
        check_weak(sampling)
    if wish.count is not None and not 1 <= wish.count <= MOST_IMAGES:
        raise UsageError(f"count must be 1 to {MOST_IMAGES}, not {wish.count}")


def _values(run: Drawable, wish: Wish) -> dict[str, Sequence[object]]:
    """Field -> the values that take turns, of every field that the run reads; none of captions given as embeddings."""
    found: dict[str, Sequence[object]] = {}
    for name in sorted(run.reads):
        own, known = field_of(name), run.known
        if name in wish.given:
            found[name] = own.values(wish.given[name], known)
        elif not (name == CAPTION.name and wish.embeddings is not None):
            found[name] = own.unasked(known)
    return found


def _total(wish: Wish, values: Mapping[str, Sequence[object]], usual: int | None) -> int:
    """How many images are meant."""
    if wish.count is not None:
        return wish.count
    if wish.noises is not None:
        return wish.noises
    if wish.seeds is not None:
        return len(wish.seeds)
    most = {name: len(own) if name in wish.given or usual is None else usual for name, own in values.items()}
    shown = [min(len(own), most[name]) for name, own in values.items()]
    edited = 0 if wish.edit is None or isinstance(wish.edit.images, Tensor) else len(wish.edit.images)
    return max([wish.embeddings or 0, edited, *shown]) or usual or 1


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
