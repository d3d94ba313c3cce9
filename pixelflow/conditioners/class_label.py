"""Class labels through the adaLN conditioning vector (DiT, arXiv 2212.09748)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from pixelflow.core.condition import Condition
from pixelflow.core.interfaces import Conditioner, Dataset
from pixelflow.system.errors import DataError, UsageError


class ClassLabel(Conditioner):
    """A table of one vector a class and a last one for "no class"."""

    reads: ClassVar[str] = "label"
    may_differ: ClassVar[frozenset[str]] = frozenset({"classes", "init_std"})

    class Params(Conditioner.Params):
        type: Literal["class_label"] = "class_label"
        classes: int | None = Field(default=None, ge=1)
        """Number of classes; by default what the data set has."""
        init_std: float = Field(default=0.02, gt=0)
        """Standard deviation of the fresh table; 1 makes small networks learn the classes several times sooner."""

        def resolved(self, dataset: Dataset) -> ClassLabel.Params:
            found = len(dataset.classes)
            if not found:
                raise DataError("conditioner class_label: the data set has no labels; use class subfolders or drop it")
            if self.classes is not None and found > self.classes:
                raise DataError(
                    f"conditioner class_label has {self.classes} classes, the data set {found}; mend 'classes'"
                )
            return self.model_copy(update={"classes": self.classes or found})

    params: Params

    def __init__(self, params: Params, *, width: int) -> None:
        super().__init__(params)
        if params.classes is None:
            raise UsageError("class_label needs 'classes' when there is no data set to count them in")
        self.classes = params.classes
        self.table = nn.Embedding(params.classes + 1, width)
        nn.init.normal_(self.table.weight, std=params.init_std)

    def for_classes(self, weights: Mapping[str, Tensor], places: Sequence[int | None]) -> Mapping[str, Tensor]:
        """The rows of the classes that the other knows, and its row for "no class"."""
        theirs, table = weights["table.weight"], self.table.weight.detach().clone()
        for label, there in enumerate(places):
            if there is not None:
                table[label] = theirs[there]
        table[self.classes] = theirs[-1]
        return {"table.weight": table}

    def prepare(self, values: Sequence[object]) -> Tensor:
        labels = torch.as_tensor(values)
        if labels.is_floating_point() or labels.ndim != 1:
            raise UsageError("labels must be whole numbers, one an image")
        outside = labels[(labels < 0) | (labels >= self.classes)]
        if len(outside):
            raise UsageError(f"label {int(outside[0])} is outside 0..{self.classes - 1}; there is no such class")
        return labels.long().cpu()

    def null(self, count: int) -> Tensor:
        return torch.full((count,), self.classes)

    def forward(self, prepared: Tensor) -> Condition:
        return Condition(vector=self.table(prepared))
