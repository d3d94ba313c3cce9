"""Images drawn from a run in order to be measured."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from pixelflow.core import seeds
from pixelflow.core.fields import CAPTION, LABEL, captions_in, columns, field_of
from pixelflow.core.interfaces import Dataset, Sample
from pixelflow.core.spec import SamplingSpec
from pixelflow.generation.draw import Drawn, draw
from pixelflow.generation.numbered import NumberedImages
from pixelflow.generation.run import Run
from pixelflow.generation.settings import code_behind
from pixelflow.metrics.splits import shuffled
from pixelflow.system.errors import DataError
from pixelflow.system.parallel import Parallel


@dataclass(frozen=True)
class Generation:
    """Images to be drawn from a run: image ``i`` has seed ``seed + i``, and the classes take turns."""

    run: Run
    sampling: SamplingSpec
    count: int
    seed: int
    given: Mapping[str, Sequence[object]] = field(default_factory=dict)
    """Field -> what each image is generated from, beside labels; see `values_for`."""

    @property
    def labels(self) -> list[int] | None:
        """What each image is generated to show; None where the run knows no labels."""
        classes = len(self.run.labels)
        return [index % classes for index in range(self.count)] if classes else None

    @property
    def captions(self) -> Sequence[str] | None:
        """What each image is generated from, where the run reads captions."""
        return captions_in(self.given)

    @property
    def recipe(self) -> dict[str, object]:
        """Everything that decides on the images."""
        source = self.run.source
        told = {} if self.captions is None else {"captions_sha256": _sha256("\n".join(self.captions))}
        for name in sorted(self.given.keys() - {CAPTION.name}):
            told[f"{name}_sha256"] = _digest(name, self.given[name])
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

    def _values(self, indices: Sequence[int]) -> Mapping[str, Sequence[object]]:
        """Labels and other fields of some of the images, as far as the run reads them."""
        columns = dict(self.given) if self.labels is None else {**self.given, LABEL.name: self.labels}
        return {name: [column[index] for index in indices] for name, column in columns.items()}


def reads_data(run: Run) -> bool:
    """Whether the images of an evaluation are generated from values that only the data have."""
    return any(conditioner.reads != LABEL.name for conditioner in run.model.conditioners)


def values_for(run: Run, count: int, data: Dataset) -> dict[str, tuple[object, ...]]:
    """Values of the data, each as often as the others, of every field that the run reads beside labels.

    They come in an order that is random and always the same: the first ones of sorted data are of few kinds.

    Raises:
        DataError: the data lack a field; what has no caption is generated from the empty one.
    """
    if not reads_data(run):
        return {}
    names = {conditioner.reads for conditioner in run.model.conditioners} - {LABEL.name}
    order = shuffled(len(data)).tolist()
    chosen = [order[place % len(order)] for place in range(count)]
    as_they_lie = sorted(range(count), key=chosen.__getitem__)  # the fastest way to read them
    found = {place: _values(data, chosen[place], place, names) for place in as_they_lie}
    return {name: tuple(found[place][name] for place in range(count)) for name in names}


def _digest(name: str, values: Iterable[object]) -> str:
    """The hash of a field's values."""
    found = hashlib.sha256()
    for value in values:
        if isinstance(value, Tensor):
            found.update(value.numpy().tobytes())
        else:
            found.update(json.dumps(field_of(name).kept(value)).encode())
    return found.hexdigest()


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _values(dataset: Dataset, index: int, draw: int, names: Iterable[str]) -> dict[str, object]:
    """An element's values of these fields; another draw may give another caption."""
    sample = dataset.sample(index, seeds.generator(0, "evaluation", draw))
    own = columns([sample]) if isinstance(sample, Sample) else {}
    found = {name: own[name][0] if name in own else "" if name == CAPTION.name else None for name in names}
    lacking = next((name for name, value in found.items() if value is None), None)
    if lacking is not None:
        raise DataError(f"element {index} of the data cannot be read, or has no {field_of(lacking).many}")
    return found
