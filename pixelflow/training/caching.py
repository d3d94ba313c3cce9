"""``pixelflow cache-text``: every caption of the data through the frozen text encoders, once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from pixelflow.conditioners import token_cache
from pixelflow.conditioners.captions import checked
from pixelflow.conditioners.frozen import FrozenText
from pixelflow.conditioners.token_cache import TokenCache, key_of
from pixelflow.core.assembly import build_dataset
from pixelflow.core.interfaces import Dataset
from pixelflow.core.registry import registry
from pixelflow.core.spec import ExperimentSpec
from pixelflow.data.surveys import told
from pixelflow.system.errors import UsageError
from pixelflow.system.files import locked
from pixelflow.system.parallel import Parallel

_BATCH = 32
"""Captions that are encoded together."""
_SORTED = 32
"""Batches that are sorted by length among themselves, against padding."""
_SHARD_BYTES, _SHARD_SECONDS = 1 << 28, 120.0
"""After which a shard is written, whichever comes first; what a kill costs at most."""
_TIMED = 32
"""Batches that are read back, to tell how fast that is."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Cached:
    """What was done for one encoder."""

    encoder: str
    cache: TokenCache
    added: int
    """Captions that were not in the cache before."""
    elements: int
    """Elements of the data set."""
    mute: int
    """Elements that have no readable caption."""
    cut: int
    """Captions among the new ones that were longer than the encoder is to read."""
    encoding: float | None
    """Seconds a caption took to encode; None if there was none to encode."""
    reading: float
    """Seconds a caption takes to read back."""

    @property
    def summary(self) -> str:
        """One line for people."""
        cache = self.cache
        parts = [f"{self.encoder}: {len(cache)} captions ({self.added} new) of {self.elements} elements"]
        parts += [f"{self.mute} elements have no readable caption"] if self.mute else []
        parts += [f"{self.cut} of the new were too long and cut"] if self.cut else []
        parts += [f"{cache.size / 1e6:.1f} MB in {cache.folder}, {cache.size / len(cache) / 1e3:.1f} kB a caption"]
        if self.encoding is not None:
            parts += [
                f"encoding takes {1e3 * self.encoding:.2f} ms a caption, reading {1e3 * self.reading:.3f} ms: "
                f"{self.encoding / self.reading:.0f} times faster"
            ]
        return "; ".join(parts)


def cache_text(spec: ExperimentSpec, parallel: Parallel, say: Say) -> list[Cached]:
    """Fill the caches of the spec's frozen text encoders; what is there already is kept.

    Of several processes all encode; the first alone reads the data, writes, and returns what was done.

    Raises:
        UsageError: no conditioner is a frozen encoder with a cache; or another process fills the same cache.
        MissingDependencyError, MissingInputError, DataError: an encoder is not there, or not as the spec says.
        CannotWriteError: the disk refuses; finished shards stay.
    """
    frozen = [params for params in spec.conditioners if isinstance(params, FrozenText.Params)]
    wanted = [params for params in frozen if params.cache is not None]
    if not wanted:
        names = " and ".join(params.component.type_name() for params in frozen)
        raise UsageError(
            f"{spec.name}: set 'cache' of the conditioner {names} to a folder" if frozen else
            f"{spec.name}: has no frozen text encoder ({', '.join(_frozen_encoders())}); there is nothing to cache"
        )  # fmt: skip
    if not parallel.is_first:
        for params in wanted:
            _Encoder(params, parallel).serve()
        return []
    dataset = build_dataset(spec)
    say(told(dataset))
    return [_fill(_Encoder(params, parallel), dataset, say) for params in wanted]


def _frozen_encoders() -> list[str]:
    return [name for name, own in registry.of_kind("conditioner").items() if issubclass(own.cls, FrozenText)]


class _Encoder:
    """A frozen encoder in all processes; each encodes whole batches, and the first has what comes of them."""

    def __init__(self, params: FrozenText.Params, parallel: Parallel) -> None:
        self.params = params.identified()
        self.name = self.params.component.type_name()
        self.cut, self.seconds = 0, 0.0
        """Captions that were longer than is read of them, and what encoding took."""
        self._parallel = parallel
        self._conditioner = self.params.build(width=1)

    def encoded(self, batches: Iterable[list[str]]) -> Iterator[dict[bytes, Tensor]]:
        """Captions' states (m dim) by their keys, of one batch after the other; the others have to `serve`."""
        rest = iter(batches)
        while some := self._parallel.ask(list(islice(rest, self._parallel.size))):
            begun = time.perf_counter()
            done = list(self._parallel.spread(some, self._encode))
            self.seconds += time.perf_counter() - begun
            for states, cut in done:
                self.cut += cut
                yield states

    def serve(self) -> None:
        """Do this process's share of what the first has to encode."""
        for _ in self.encoded([]):
            pass

    def _encode(self, captions: list[str]) -> tuple[dict[bytes, Tensor], int]:
        """Each caption's states (m dim), without padding, by its key; and how many captions were cut."""
        conditioner, before = self._conditioner, self._conditioner.cut
        rows = conditioner.rows(captions).to(self._parallel.device)
        states, mask = (part.cpu() for part in conditioner.encoded(rows))
        own = {
            key_of(caption): part[: int(count)].clone()
            for caption, part, count in zip(captions, states, mask.sum(dim=1), strict=True)
        }
        return own, conditioner.cut - before


def _fill(encoder: _Encoder, dataset: Dataset, say: Say) -> Cached:
    """Add to one encoder's cache what it lacks."""
    folder = encoder.params.cache_folder
    token_cache.create(folder, encoder.params.record)
    with locked(folder, "another process fills this cache; wait for it or stop it"):
        for draft in folder.glob(".*.part"):
            draft.unlink()
        captions = _Captions(dataset, TokenCache(folder))
        added = 0
        with _Unwritten(folder) as unwritten:
            for states in encoder.encoded(_sorted_batches(captions)):
                added += len(states)
                if unwritten.add(states):
                    say(f"{encoder.name}: {captions.read} of {len(dataset)} elements, {added} captions encoded")
    cache = TokenCache(folder)
    return Cached(
        encoder=encoder.name,
        cache=cache,
        added=added,
        elements=len(dataset),
        mute=captions.mute,
        cut=encoder.cut,
        encoding=encoder.seconds / added if added else None,
        reading=_reading_seconds(cache),
    )


class _Unwritten:
    """Encoded captions on their way to a shard. Whatever ends the block, Ctrl-C too, writes what there is."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._begin()

    def _begin(self) -> None:
        self._states: dict[bytes, Tensor] = {}
        self._bytes, self._since = 0, time.monotonic()

    def __enter__(self) -> _Unwritten:
        return self

    def __exit__(self, *error: object) -> None:
        self._write()

    def add(self, states: dict[bytes, Tensor]) -> bool:
        """Take some captions' states; whether a shard was due and is written. Raises CannotWriteError."""
        self._states |= states
        self._bytes += sum(own.nbytes for own in states.values())
        is_due = self._bytes >= _SHARD_BYTES or time.monotonic() - self._since >= _SHARD_SECONDS
        if is_due:
            self._write()
        return is_due

    def _write(self) -> None:
        states = self._states
        self._begin()
        if states:
            token_cache.write_shard(self._folder, states)


class _Captions:
    """The captions of a data set that a cache lacks, each once; first the empty one, which guidance needs."""

    def __init__(self, dataset: Dataset, cache: TokenCache) -> None:
        self._dataset, self._cache = dataset, cache
        self._met: set[bytes] = set()
        self.read = self.mute = 0
        """Elements met, and those among them without a readable caption."""

    def __iter__(self) -> Iterator[str]:
        yield from self._new([""])
        for index in range(len(self._dataset)):
            captions = self._dataset.captions(index)
            self.read += 1
            self.mute += not captions
            yield from self._new(captions)

    def _new(self, captions: Sequence[str]) -> Iterator[str]:
        for caption in checked(captions):
            key = key_of(caption)
            if key not in self._met:
                self._met.add(key)
                if self._cache.find([key]) < 0:
                    yield caption


def _sorted_batches(captions: _Captions) -> Iterator[list[str]]:
    """Batches of captions of like length."""
    stream = iter(captions)
    while some := sorted(islice(stream, _BATCH * _SORTED), key=len):
        for first in range(0, len(some), _BATCH):
            yield some[first : first + _BATCH]


def _reading_seconds(cache: TokenCache) -> float:
    """Seconds a caption, in batches at random."""
    count = min(len(cache), _BATCH)
    generator = torch.Generator().manual_seed(0)
    begun = time.perf_counter()
    for _ in range(_TIMED):
        cache.read(torch.randint(len(cache), (count,), generator=generator))
    return (time.perf_counter() - begun) / (_TIMED * count)
