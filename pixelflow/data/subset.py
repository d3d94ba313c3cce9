"""Some elements of a data set."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from pixelflow.core.interfaces import BadSample, Dataset, Sample


class Subset(Dataset):
    """The elements of these indices, in this order."""

    def __init__(self, dataset: Dataset, indices: Sequence[int]) -> None:
        super().__init__(dataset.params)
        self._dataset, self._indices = dataset, indices
        self.classes, self.has_names = dataset.classes, dataset.has_names

    @property
    def fingerprint(self) -> str:
        chosen = hashlib.sha256(str(list(self._indices)).encode()).hexdigest()
        return f"{self._dataset.fingerprint} {chosen}"

    def __len__(self) -> int:
        return len(self._indices)

    def order(self, generator: torch.Generator) -> Tensor:
        if type(self._dataset).order is Dataset.order:
            return super().order(generator)
        places = {own: place for place, own in enumerate(self._indices)}
        return torch.tensor([places[own] for own in self._dataset.order(generator).tolist() if own in places])

    def sample(self, index: int, generator: torch.Generator) -> Sample | BadSample:
        return self._dataset.sample(self._indices[index], generator)

    def captions(self, index: int) -> Sequence[str]:
        return self._dataset.captions(self._indices[index])
