"""Any data set, whose images bring small copies of themselves along."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal, Self

import torch
from pydantic import Field

from pixelflow.core.interfaces import BadSample, Dataset, Sample, Survey
from pixelflow.core.slots import Slot
from pixelflow_superres.lowering import Lowering


class Lowered(Dataset):
    """Adds the field ``lowres``: a small copy of the image, (c h/f w/f)."""

    class Params(Dataset.Params):
        type: Literal["superres.lowered"] = "superres.lowered"
        data: Annotated[Dataset.Params, Slot("dataset")] = Field(default="digits")  # type: ignore[assignment]
        """Where the images come from."""
        factor: int = Field(default=4, ge=2, le=64)
        """Pixels of the image's side for one of its copy."""

        lowering: Annotated[Lowering.Params, Slot("superres.lowering")] = Field(default="superres.mean")  # type: ignore[assignment]
        """How the copy is made."""

        def plain(self) -> Self:
            return self.model_copy(update={"data": self.data.plain()})

    params: Params

    def __init__(self, params: Params, *, height: int, width: int, channels: int) -> None:
        super().__init__(params)
        self._data: Dataset = params.data.build(height=height, width=width, channels=channels)
        self._lower: Lowering = params.lowering.build()
        self.classes, self.has_names = self._data.classes, self._data.has_names
        self.left_out = dict(self._data.left_out)

    @property
    def fingerprint(self) -> str:
        return f"{self._data.fingerprint} {self.params.factor} {self.params.lowering.model_dump_json()}"

    def __len__(self) -> int:
        return len(self._data)

    def sample(self, index: int, generator: torch.Generator) -> Sample | BadSample:
        sample = self._data.sample(index, generator)
        if isinstance(sample, BadSample):
            return sample
        small = self._lower(sample.image, self.params.factor)
        return replace(sample, fields={**sample.fields, "lowres": small})

    def captions(self, index: int) -> Sequence[str]:
        return self._data.captions(index)

    def survey(self, most: int) -> Survey | None:
        return self._data.survey(most)
