"""Tar archives on other machines, in the WebDataset convention; a part of them at a time lies here."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from filelock import FileLock
from pydantic import AfterValidator, Field
from torch import Tensor

from pixelflow.core.problems import problem
from pixelflow.data.patterns import Patterns, expanded
from pixelflow.data.tar_index import TarIndex
from pixelflow.data.tar_shards import TarShards, looked_through
from pixelflow.system.distribution import install
from pixelflow.system.errors import CannotWriteError, DataError, MissingDependencyError, first_line
from pixelflow.system.files import writing

_SCHEMES = ("http://", "https://", "gs://", "ais://")
"""What WebDataset opens without a shell: by curl, gsutil or ais."""


def _remote(patterns: str | tuple[str, ...]) -> str | tuple[str, ...]:
    for pattern in (patterns,) if isinstance(patterns, str) else patterns:
        if not pattern.startswith(_SCHEMES) or any(letter.isspace() for letter in pattern):
            raise problem(f"{pattern!r} must begin with one of {', '.join(_SCHEMES)}; for files use tar_shards")
    return patterns


class WebShards(TarShards):
    """`tar_shards` at addresses, fetched by WebDataset's own cache when they are read and not here.

    Needs webdataset, and curl, gsutil or ais for the addresses. Every shard is fetched once at the start, to find the
    places of its samples, which the cache keeps. An epoch goes through the shards in random order, `window` of them
    shuffled together; since that order follows from seed and epoch, a run goes on exactly, which WebDataset's own
    streams cannot. What lies at an address must not change.

    Raises:
        MissingDependencyError: webdataset is not installed.
        DataError: a shard cannot be fetched, or is no tar; and as `TarShards`.
        CannotWriteError: the cache cannot be written.
    """

    class Params(TarShards.Params):
        type: Literal["web_shards"] = "web_shards"  # type: ignore[assignment]
        shards: Annotated[Patterns, AfterValidator(_remote)]
        """Addresses, in which ``{000..012}`` and ``{a,b}`` stand for several: http, https, gs or ais."""
        cache: Path
        """Folder for shards and for the places of their members; of each machine its own, or a common one."""
        cache_size: float = Field(default=100, gt=0)
        """GB of shards that are kept there; it must hold twice the window."""
        window: int = Field(default=16, ge=1)
        """Shards that are shuffled together."""

    params: Params

    def _indexed(self) -> list[TarIndex]:
        params = self.params
        patterns = (params.shards,) if isinstance(params.shards, str) else params.shards
        addresses = list(dict.fromkeys(address for pattern in patterns for address in expanded(pattern)))
        return list(looked_through(addresses, lambda one: _WebIndex(one, params.cache.expanduser(), params.cache_size)))

    @property
    def fingerprint(self) -> str:
        """Settings, but where and how much of it lies here."""
        told = self.params.model_dump(mode="json", exclude={"cache", "cache_size"})
        return f"{told} {len(self)}"

    def order(self, generator: torch.Generator) -> Tensor:
        """Windows of shards in random order, each with its images shuffled."""
        shard_of = torch.from_numpy(np.searchsorted(self._firsts, self._indices, side="right") - 1)
        shards = torch.randperm(len(self._shards), generator=generator)
        windows = torch.empty_like(shards)
        windows[shards] = torch.arange(len(shards)) // self.params.window
        mixed = torch.randperm(len(self), generator=generator)
        return mixed[windows[shard_of[mixed]].argsort(stable=True)]


class _WebIndex(TarIndex):
    """A shard at an address."""

    def __init__(self, address: str, cache: Path, most: float) -> None:
        self._address, self._cache, self._most = address, cache / "shards", most
        name = f"{hashlib.sha256(address.encode()).hexdigest()[:16]}.tar"
        super().__init__(self._cache / name, cache)

    def _state(self) -> str:
        return self._address

    def there(self) -> Path:
        """The shard, fetched if it is not here; of several processes by one."""
        if not self.shard.is_file():
            with writing(self._cache):
                self._cache.mkdir(parents=True, exist_ok=True)
            with FileLock(self.shard.with_suffix(".lock")):
                self._fetch()
        return self.shard

    def _fetch(self) -> None:
        try:
            from webdataset.cache import FileCache
        except ImportError:
            raise MissingDependencyError(f"web_shards needs the package webdataset: {install('web')}") from None
        cache = FileCache(
            str(self._cache), url_to_name=lambda _: self.shard.name, cache_size=int(self._most * 1e9), validator=None
        )
        try:
            cache.get_file(self._address)
        except OSError as error:
            if error.errno is not None and error.filename is not None:
                raise CannotWriteError(f"{self._cache}: {error.strerror}; set data.cache or data.cache_size") from None
            reason = first_line(error)
            raise DataError(f"{self._address}: cannot be fetched ({reason}); see that it can be reached") from None
