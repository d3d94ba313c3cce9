"""A data set whose labels count in another list of classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from pixelflow.core.classes import Match
from pixelflow.core.interfaces import BadSample, Dataset, Sample, Survey


class Renumbered(Dataset):
    """The same images, with labels of the list that a run knows its classes by.

    Args:
        match: all classes of the data among the run's.
    """

    def __init__(self, dataset: Dataset, match: Match) -> None:
        super().__init__(dataset.params)
        self._dataset, self._match = dataset, match
        self.classes, self.left_out = match.others, dict(dataset.left_out)  # a mapping that pickles

    @property
    def fingerprint(self) -> str:
        return self._dataset.fingerprint

    def __len__(self) -> int:
        return len(self._dataset)

    def order(self, generator: torch.Generator) -> Tensor:
        return self._dataset.order(generator)

    def sample(self, index: int, generator: torch.Generator) -> Sample | BadSample:
        sample = self._dataset.sample(index, generator)
        if isinstance(sample, BadSample) or sample.label is None:
            return sample
        return replace(sample, label=self._match(sample.label))

    def survey(self, most: int) -> Survey | None:
        return self._dataset.survey(most)

    def captions(self, index: int) -> Sequence[str]:
        return self._dataset.captions(index)
