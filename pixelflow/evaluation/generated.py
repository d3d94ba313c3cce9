"""Images drawn from a run in order to be measured."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixelflow.core import seeds
from pixelflow.core.interfaces import Dataset, Sample
from pixelflow.core.spec import SamplingSpec
from pixelflow.generation.draw import Drawn, draw
from pixelflow.generation.numbered import NumberedImages
from pixelflow.generation.run import Run
from pixelflow.generation.settings import code_behind
from pixelflow.metrics.splits import shuffled
from pixelflow.system.parallel import Parallel


@dataclass(frozen=True)
class Generation:
    """Images to be drawn from a run: image ``i`` has seed ``seed + i``, and the classes take turns."""

    run: Run
    sampling: SamplingSpec
    count: int
    seed: int
    captions: tuple[str, ...] | None = None
    """What each image is generated from, where the run reads captions; see `captions_for`."""

    @property
    def labels(self) -> list[int] | None:
        """What each image is generated to show; None where the run knows no labels."""
        classes = len(self.run.labels)
        return [index % classes for index in range(self.count)] if classes else None

    @property
    def recipe(self) -> dict[str, Any]:
        """Everything that decides on the images."""
        source = self.run.source
        told = {} if self.captions is None else {"captions_sha256": _sha256("\n".join(self.captions))}
        return {
            "step": source.step,
            "weights": source.weights,
            "weights_sha256": source.sha256,
            "sampling": self.sampling.model_dump(mode="json"),
            "images": self.count,
            "seed": self.seed,
            "classes": len(self.run.labels),
            **told,
            **code_behind(self.run.spec, self.sampling),
        }

    @property
    def digest(self) -> str:
        """A short name of the recipe."""
        return _sha256(json.dumps(self.recipe, sort_keys=True))[:10]

    def draw_into(self, folder: Path, parallel: Parallel | None = None) -> Iterator[int]:
        """Write ``000000.png ...``, those that are not there yet; yields how many are there after each batch.

        Of several processes all draw and the first writes.

        Raises:
            CannotWriteError: the disk refuses, or the folder holds images of another recipe.
            NonFiniteError: an image is not finite.
        """
        return self.images_in(folder).draw(lambda indices: self.drawn(indices, parallel), parallel)

    def images_in(self, folder: Path) -> NumberedImages:
        """What `draw_into` makes, as far as it is there."""
        return NumberedImages(folder, self.count, self.recipe)

    def drawn(self, indices: Sequence[int], parallel: Parallel | None = None) -> Iterator[Drawn]:
        """The images of these indices, in batches; raises as `draw` does."""
        run, own_seeds = self.run, [self.seed + index for index in indices]
        values = self._values(indices)
        return draw(run.model, run.spec, values, own_seeds, sampling=self.sampling, parallel=parallel)

    def _values(self, indices: Sequence[int]) -> Mapping[str, Sequence[Any]]:
        """Labels and captions of some of the images, as far as the run reads them."""
        columns: dict[str, Sequence[Any] | None] = {"label": self.labels, "caption": self.captions}
        return {field: [column[index] for index in indices] for field, column in columns.items() if column is not None}


def captions_for(run: Run, count: int, data: Dataset) -> tuple[str, ...] | None:
    """Captions of the data, each as often as the others; None if the run reads none.

    They come in an order that is random and always the same: the first ones of sorted data are of few kinds.
    """
    if all(conditioner.reads != "caption" for conditioner in run.model.conditioners):
        return None
    order = shuffled(len(data)).tolist()
    chosen = [order[place % len(order)] for place in range(count)]
    as_they_lie = sorted(range(count), key=chosen.__getitem__)  # the fastest way to read them
    found = {place: _caption(data, chosen[place], place) for place in as_they_lie}
    return tuple(found[place] for place in range(count))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _caption(dataset: Dataset, index: int, draw: int) -> str:
    """One of the captions of an element: another draw may give another one."""
    sample = dataset.sample(index, seeds.generator(0, "evaluation", draw))
    return (sample.caption if isinstance(sample, Sample) else None) or ""
