"""The base of conditioners on a pretrained text encoder that is not trained."""

from __future__ import annotations

import hashlib
import json
import logging
from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from pixelflow.conditioners import token_cache
from pixelflow.conditioners.captions import PAD, Rows, checked, shown
from pixelflow.conditioners.token_cache import TokenCache
from pixelflow.core.component import ComponentParams
from pixelflow.core.condition import Condition
from pixelflow.core.interfaces import Conditioner, Dataset
from pixelflow.core.plugin_use import codes
from pixelflow.core.problems import problem
from pixelflow.system import pretrained
from pixelflow.system.errors import DataError, PixelflowError, UsageError

logger = logging.getLogger(__name__)


class FrozenText(Conditioner):
    """Captions through a frozen encoder, which is no submodule: nothing trains, averages, copies or saves it.

    Subclasses keep one copy of each encoder and device for the whole process, read when the first caption comes.
    Captions that the cache knows are prepared as their entries in it, all others as tokens for the encoder.
    """

    reads: ClassVar[str] = "caption"
    may_differ: ClassVar[frozenset[str]] = frozenset({"max_tokens", "precision", "model", "cache"})
    files: ClassVar[tuple[str, ...]]
    """Patterns of the files that an encoder consists of."""

    class Params(Conditioner.Params):
        model: str
        """A name on the Hugging Face hub, or a folder. Nothing is downloaded: fetch it beforehand."""
        max_tokens: int = Field(ge=2)
        """Longest caption, its end included; the rest of a longer one is cut off."""
        dim: int | None = Field(default=None, ge=1)
        """Channels that the encoder gives; by default what its files say."""
        project: int | None = Field(default=None, ge=1)
        """Channels to which a trained linear layer brings the tokens, so that they can be joined with others."""
        precision: Literal["float32", "bfloat16"] = "float32"
        """Of the encoder's weights and arithmetic."""
        sha256: str | None = None
        """Hash of the encoder's files; training writes it down, and other files are then refused."""
        cache: Path | None = None
        """Folder of encoded captions, which ``pixelflow cache-text`` fills; null encodes captions as they come."""

        if TYPE_CHECKING:

            def build(self, *, width: int) -> FrozenText: ...

        @model_validator(mode="after")
        def _projects_tokens(self) -> Self:
            if self.is_pooled and self.project is not None:
                raise problem("is for tokens; a pooled caption has a layer of its own, leave it out", "project")
            return self

        @property
        def is_pooled(self) -> bool:
            """Whether a caption is one vector alone, and no context."""
            return False

        @property
        def context_dim(self) -> int | None:
            return None if self.is_pooled else self.project or self.encoder_dim

        @property
        def context_tokens(self) -> int:
            return 0 if self.is_pooled else self.max_tokens

        @property
        def encoder_dim(self) -> int:
            """Channels that the encoder gives; raises UsageError where only its files can tell."""
            if self.dim is None:
                raise UsageError(f"{self.component.type_name()} needs 'dim' where its encoder's files are not read")
            return self.dim

        def resolved(self, dataset: Dataset) -> ComponentParams:
            """With the encoder's channels and hash, from the cache or else from its files.

            Raises:
                DataError: the cache is damaged; and what `folder` raises.
            """
            return self._as_cached() or self.identified()

        def identified(self) -> Self:
            """With the channels and hash of the encoder's files; raises what `folder` raises."""
            folder = self.folder()
            return self.model_copy(update={"dim": self.dim_in(folder), "sha256": pretrained.fingerprint(folder)})

        def _as_cached(self) -> Self | None:
            """With what the cache says of the encoder, if it has one under its name, with these settings."""
            known = [] if self.cache is None else token_cache.encoders(self.cache.expanduser())
            found = [self.model_copy(update={"dim": one.get("dim"), "sha256": one.get("sha256")}) for one in known]
            fitting = [
                own
                for own, one in zip(found, known, strict=True)
                if own.record == one and self.dim in (None, own.dim) and self.sha256 in (None, own.sha256)
            ]
            return fitting[0] if len(fitting) == 1 else None

        @property
        def record(self) -> dict[str, object]:
            """What the cache says of the encoder."""
            return self.model_dump(mode="json", exclude={"project", "cache"})

        @property
        def cache_folder(self) -> Path:
            """Of this encoder, under the hash of all that decides what it gives: its files, settings and plugin."""
            assert self.cache is not None
            assert self.sha256 is not None, "only resolved settings know their encoder"
            decisive = {name: value for name, value in self.record.items() if name not in ("model", "dim")}
            decisive |= codes(self)
            digest = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()
            return self.cache.expanduser() / f"{self.component.type_name()}-{digest[:16]}"

        def folder(self) -> Path:
            """Where the encoder lies.

            Raises:
                MissingDependencyError, MissingInputError: it is not there, or a part of it.
                DataError: it is another one than these settings describe.
            """
            cls = self.component
            assert issubclass(cls, FrozenText)
            name, folder = cls.type_name(), self.place()
            found = self.dim_in(folder)
            if self.dim not in (None, found):
                raise DataError(f"{name}: {self.model} gives {found} channels, not {self.dim}; mend 'dim'")
            if self.sha256 not in (None, pretrained.fingerprint(folder)):
                raise DataError(
                    f"{name}: the files in {folder} are not those that the run was trained with (other hash)"
                )
            return folder

        def place(self) -> Path:
            """The folder that `model` names; raises what `pretrained.folder_of` raises."""
            cls = self.component
            assert issubclass(cls, FrozenText)
            return pretrained.folder_of(self.model, cls.type_name(), cls.files)

        @abstractmethod
        def dim_in(self, folder: Path) -> int:
            """Channels that the encoder in a folder gives."""

    params: Params

    def __init__(self, params: Params, *, width: int) -> None:
        super().__init__(params)
        self._rows = Rows(params.max_tokens, self.type_name())
        self.projection = None if params.project is None else nn.Linear(params.encoder_dim, params.project)

    @cached_property
    def folder(self) -> Path:
        """Where the encoder lies; raises what `Params.folder` raises."""
        return self.params.folder()

    @cached_property
    def cache(self) -> TokenCache:
        """The encoded captions; empty if there are none yet. Raises DataError if a file of it is damaged."""
        return TokenCache(self.params.cache_folder)

    @property
    def cut(self) -> int:
        """Captions that were too long and cut, so far."""
        return self._rows.cut

    @abstractmethod
    def tokenise(self, captions: list[str]) -> list[list[int]]:
        """The whole captions as tokens, of which the last ends a caption."""

    @abstractmethod
    def encode(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Token rows (b limit) to states (b m dim) and mask (b m), in the encoder's own precision."""

    def condition(self, states: Tensor, mask: Tensor) -> Condition:
        """States (b m dim) and mask (b m) to what the backbone is conditioned on, through what is trained."""
        return Condition(tokens=states if self.projection is None else self.projection(states), mask=mask)

    def prepare(self, values: Sequence[object]) -> Tensor:
        captions = checked(values)
        if self.params.cache is None:
            return self.rows(captions)
        entries = self.cache.find([token_cache.key_of(caption) for caption in captions])
        rows = _marked(entries, self.params.max_tokens)
        lacking = (entries < 0).nonzero().flatten()
        if len(lacking):
            rows[lacking] = self._rows_beside_cache([captions[index] for index in lacking])
        return rows

    def rows(self, captions: list[str]) -> Tensor:
        """Captions as token rows (b limit)."""
        return self._rows(captions, self.tokenise(captions))

    def _rows_beside_cache(self, captions: list[str]) -> Tensor:
        where = f"{self.type_name()}: {self.cache.folder} lacks the caption {shown(captions[0])!r}"
        try:
            if "folder" not in self.__dict__:
                logger.warning("%s, so the encoder in %s is loaded; run pixelflow cache-text again", where, self.folder)
            return self.rows(captions)
        except PixelflowError as error:
            raise type(error)(f"{where}, and {error}") from None

    def null(self, count: int) -> Tensor:
        return self.prepare([""]).expand(count, -1)

    def forward(self, prepared: Tensor) -> Condition:
        states, mask = self.encoded(prepared) if self.params.cache is None else self._recalled(prepared)
        return self.condition(states.float(), mask)

    def encoded(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """`encode` without gradients, in the encoder's own precision whatever the backbone runs in."""
        with torch.no_grad(), torch.autocast(rows.device.type, enabled=False):
            return self.encode(rows)

    def _recalled(self, prepared: Tensor) -> tuple[Tensor, Tensor]:
        """States and mask from the cache, and of what is not there from the encoder."""
        entries = _entries(prepared.cpu())
        stored = entries >= 0
        if not stored.any():
            return self.encoded(prepared)
        states, mask = (part.to(prepared.device) for part in self.cache.read(entries[stored]))
        if stored.all():
            return states, mask
        others, their_mask = self.encoded(prepared[~stored.to(prepared.device)])
        joined = Condition.batched([Condition(None, states, mask), Condition(None, others, their_mask)])
        order = torch.cat([stored.nonzero(), (~stored).nonzero()]).flatten().argsort().to(prepared.device)
        assert joined.tokens is not None
        assert joined.mask is not None
        return joined.tokens[order], joined.mask[order]


def _marked(entries: Tensor, limit: int) -> Tensor:
    """Entries (b) in the form of token rows (b limit): numbers below `PAD` in the first column stand for them."""
    rows = torch.full((len(entries), limit), PAD)
    rows[:, 0] -= 1 + entries
    return rows


def _entries(rows: Tensor) -> Tensor:
    """The entries (b) that rows stand for; below 0 where a row holds tokens."""
    return PAD - 1 - rows[:, 0]
