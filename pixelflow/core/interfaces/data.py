"""Where images and prompts come from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from pixelflow.core.component import Component, ComponentParams
from pixelflow.core.sample import Sample
from pixelflow.core.sizes import Size


@dataclass(frozen=True)
class Survey:
    """The sizes that some pictures of a data set have before they are cut to shape."""

    looked_at: int
    """Pictures; those among them that cannot be read have no size."""
    sizes: Mapping[Size, int]
    """Height and width -> number of pictures."""


class Dataset(Component, ABC):
    """A map-style data set. Built with ``height``, ``width`` and ``channels``; must pickle, for workers."""

    kind = "dataset"

    class Params(ComponentParams):
        if TYPE_CHECKING:

            def build(self, *, height: int, width: int, channels: int, sizes: Sequence[Size] = ...) -> Dataset: ...

        def plain(self) -> ComponentParams:
            """These settings without augmentation, as evaluation reads the data."""
            return self

    keeps_shape: ClassVar[bool] = False
    """Whether it also takes ``sizes``, of which an image has the one that suits it best (``image.max_aspect``)."""
    classes: tuple[str, ...] = ()
    """Names of the labels, each once; empty for unlabelled data. Others find a class by its name."""
    has_names: bool = True
    """Whether the data name their classes; False where they give numbers, which then stand for the names."""

    left_out: Mapping[str, int] = MappingProxyType({})
    """What lies beside the images and is not read: kind, such as ``.pdf``, -> number."""

    @property
    def fingerprint(self) -> str:
        """Changes when the images may have; data that lie in files must add to the settings what tells of a change."""
        return self.params.model_dump_json()

    @abstractmethod
    def __len__(self) -> int: ...

    def order(self, generator: torch.Generator) -> Tensor:
        """Every index (n) once, in the order of an epoch; whoever reads neighbours faster shuffles these together."""
        return torch.randperm(len(self), generator=generator)

    @abstractmethod
    def sample(self, index: int, generator: torch.Generator) -> Sample | BadSample:
        """Element `index`, augmented with randomness from `generator` alone."""

    def captions(self, index: int) -> Sequence[str]:
        """All captions that element `index` may show, none if it cannot be read; fast where no image has to be."""
        sample = self.sample(index, torch.Generator())
        return [sample.caption] if isinstance(sample, Sample) and sample.caption is not None else []

    def survey(self, most: int) -> Survey | None:
        """The sizes of at most `most` pictures, by headers alone; None where they have no size of their own."""
        return None


@dataclass(frozen=True)
class BadSample:
    """An element that could not be read, in place of a sample."""

    where: str
    reason: str


class Rewriter(Component, ABC):
    """Rewrites prompts before images are drawn from them. Built with ``device``."""

    kind = "rewriter"

    def __init__(self, params: ComponentParams, *, device: torch.device) -> None:
        super().__init__(params)
        self.device = device

    class Params(ComponentParams):
        if TYPE_CHECKING:

            def build(self, *, device: torch.device) -> Rewriter: ...

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """What decides on the answers beside the settings, such as the hash of a file that it reads; may be empty."""

    @property
    def at_a_time(self) -> int | None:
        """Prompts that an export hands over at a time and keeps the answers of; None for all, where that is quick."""
        return None

    @abstractmethod
    def rewrite(self, prompts: Sequence[str]) -> list[str]:
        """One prompt for each, in order, whatever the others are.

        Raises:
            DataError: a prompt cannot be rewritten.
            MissingInputError, MissingDependencyError: a file or model that it needs is not there.
        """
