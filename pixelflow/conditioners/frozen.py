"""The base of conditioners on a pretrained text encoder that is not trained."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from pixelflow.core import pretrained
from pixelflow.conditioners.captions import Rows, checked
from pixelflow.core.component import ComponentParams
from pixelflow.core.errors import DataError, UsageError
from pixelflow.core.interfaces import Conditioner, Dataset


class FrozenText(Conditioner):
    """Captions through a frozen encoder, which is no submodule: nothing trains, averages, copies or saves it.

    Subclasses keep one copy of each encoder and device for the whole process, read when the first caption comes.
    """

    reads: ClassVar[Literal["label", "caption"]] = "caption"
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

        @property
        def context_dim(self) -> int | None:
            return self.project or self.encoder_dim

        @property
        def context_tokens(self) -> int:
            return self.max_tokens

        @property
        def encoder_dim(self) -> int:
            """Channels that the encoder gives; raises UsageError where only its files can tell."""
            if self.dim is None:
                raise UsageError(f"{self.component.type_name()} needs 'dim' where its encoder's files are not read")
            return self.dim

        def resolved(self, dataset: Dataset) -> ComponentParams:
            """With the encoder's channels and hash filled in; raises what `folder` raises."""
            folder = self.folder()
            return self.model_copy(
                update={"dim": self.dim_in(folder), "sha256": pretrained.fingerprint(folder)},
            )

        def folder(self) -> Path:
            """Where the encoder lies.

            Raises:
                MissingDependencyError, MissingInputError: it is not there, or a part of it.
                DataError: it is another one than these settings describe.
            """
            cls = self.component
            assert issubclass(cls, FrozenText)
            name, folder = cls.type_name(), pretrained.folder_of(self.model, cls.type_name(), cls.files)
            found = self.dim_in(folder)
            if self.dim not in (None, found):
                raise DataError(f"{name}: {self.model} gives {found} channels, not {self.dim}; mend 'dim'")
            if self.sha256 not in (None, pretrained.fingerprint(folder)):
                raise DataError(
                    f"{name}: the files in {folder} are not those that the run was trained with (other hash)"
                )
            return folder

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

    @abstractmethod
    def tokenise(self, captions: list[str]) -> list[list[int]]:
        """The whole captions as tokens, of which the last ends a caption."""

    def prepare(self, values: Sequence[Any]) -> Tensor:
        captions = checked(values)
        return self._rows(captions, self.tokenise(captions))

    def null(self, count: int) -> Tensor:
        return self.prepare([""]).expand(count, -1)

    def projected(self, tokens: Tensor) -> Tensor:
        """(b m dim) -> (b m context_dim)"""
        return tokens if self.projection is None else self.projection(tokens)


@contextmanager
def frozen(device: torch.device) -> Iterator[None]:
    """No gradients, and the encoder's own precision whatever the backbone runs in."""
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        yield
