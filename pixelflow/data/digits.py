"""The handwritten digits that ship inside scikit-learn: 1,797 real 8x8 grey images of ten classes."""

from __future__ import annotations

from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pixelflow.core.interfaces import BadSample, Dataset, Sample, Survey


class Digits(Dataset):
    """scikit-learn's digits, resized bilinearly; needs no download.

    Source: Alpaydin and Kaynak, Optical Recognition of Handwritten Digits (UCI, 1998), its test part.
    """

    class Params(Dataset.Params):
        type: Literal["digits"] = "digits"
        split: Literal["all", "even", "odd"] = "all"
        """All images, or those of even or odd index (to hold a half out)."""

    params: Params
    classes = tuple("0123456789")

    def __init__(self, params: Params, *, height: int, width: int, channels: int) -> None:
        super().__init__(params)
        self._size = (height, width)
        self._channels = channels

    def __len__(self) -> int:
        return len(self._data[1])

    def sample(self, index: int, generator: torch.Generator) -> Sample | BadSample:
        images, labels = self._data
        return Sample(images[index].expand(self._channels, -1, -1), label=int(labels[index]))

    def survey(self, most: int) -> Survey:
        return Survey(len(self), {(8, 8): len(self)})

    @cached_property
    def _data(self) -> tuple[Tensor, Tensor]:
        raw = np.loadtxt(_file(), delimiter=",", dtype=np.uint8)  # a row is 64 pixels from 0 to 16, and the digit
        images = torch.from_numpy(raw[:, :64]).float().view(-1, 1, 8, 8) / 8 - 1
        labels = torch.from_numpy(raw[:, 64])
        if self._size != (8, 8):
            images = F.interpolate(images, self._size, mode="bilinear", align_corners=False)
        chosen = {"all": slice(None), "even": slice(0, None, 2), "odd": slice(1, None, 2)}[self.params.split]
        return images[chosen], labels[chosen]


def _file() -> Path:
    """Where the digits lie; importing scikit-learn, which imports scipy and pandas, would take a second."""
    found = find_spec("sklearn")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("No module named 'sklearn'", name="sklearn")
    return Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz"
