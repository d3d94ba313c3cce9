"""The data set of drawn shapes with captions."""

from __future__ import annotations

from random import Random
from typing import ClassVar, Literal

import torch
from pydantic import Field

from pixelflow.core import seeds
from pixelflow.core.interfaces import BadSample, Dataset, Sample
from pixelflow.core.sizes import Size
from pixelflow.data.shapes.rendering import rendered
from pixelflow.data.shapes.scenes import Scene, draw_scene, draw_task
from pixelflow.data.shapes.wording import worded
from pixelflow.data.shapes.world import TASKS

_GREY = (0.299, 0.587, 0.114)


class Shapes(Dataset):
    """Coloured shapes on grey grounds with captions, drawn on the fly; element `i` is always the same.

    The tasks are GenEval's (arXiv 2310.11513). Some combinations (a colour with a shape, a count with a shape, two
    shapes, a shape beside another, a shape on a ground) are never in the training split; every element of the test
    split shows one, and the tasks take turns.
    """

    class Params(Dataset.Params):
        type: Literal["shapes"] = "shapes"
        split: Literal["train", "test"] = "train"
        """"train": all tasks at random, nothing held out; "test": only held-out combinations, for the judge."""
        count: int = Field(default=100_000, ge=1)
        """Number of images."""
        seed: int = Field(default=0, ge=0)
        """Another seed draws other images."""

    params: Params
    keeps_shape: ClassVar[bool] = True

    def __init__(self, params: Params, *, height: int, width: int, channels: int, sizes: tuple[Size, ...] = ()) -> None:
        super().__init__(params)
        self._sizes, self._channels = sizes or ((height, width),), channels

    def __len__(self) -> int:
        return self.params.count

    def sample(self, index: int, generator: torch.Generator) -> Sample | BadSample:
        random = self._random(index)
        scene, caption = self._described(random, index)
        pixels = torch.from_numpy(rendered(random, scene, *self._size(index))).permute(2, 0, 1) * 2 - 1
        if self._channels == 1:
            pixels = (pixels * torch.tensor(_GREY).view(3, 1, 1)).sum(0, keepdim=True)
        return Sample(pixels.contiguous(), caption=caption)

    def scene(self, index: int) -> Scene:
        """What element `index` shows."""
        return self._described(self._random(index), index)[0]

    def captions(self, index: int) -> list[str]:
        return [self._described(self._random(index), index)[1]]

    def _random(self, index: int) -> Random:
        return Random(seeds.derive(self.params.seed, f"shapes {self.params.split}", index))

    def _size(self, index: int) -> Size:
        """Height and width of element `index`; each size is as frequent as the others."""
        return Random(seeds.derive(self.params.seed, "shapes size", index)).choice(self._sizes)

    def _described(self, random: Random, index: int) -> tuple[Scene, str]:
        task = draw_task(random) if self.params.split == "train" else TASKS[index % len(TASKS)]
        scene = draw_scene(random, self.params.split, task, *self._size(index))
        return scene, worded(random, scene.meaning, scene.size, scene.ground, scene.meaning.task == "single_object")
