"""Evaluating a run or a folder of images against data: generate to disk, measure, and record how."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field

import pixelflow
from pixelflow.core import seeds
from pixelflow.core.assembly import build_dataset
from pixelflow.core.cache import cache_folder
from pixelflow.core.component import Settings
from pixelflow.core.errors import CannotWriteError, DataError
from pixelflow.core.files import write_text, writing
from pixelflow.core.interfaces import Dataset, Metric, Sample
from pixelflow.core.spec import EvaluationSpec, ExperimentSpec, SamplingSpec
from pixelflow.data.image_folder import ImageFolder, first_shape
from pixelflow.evaluation.comparison import FeatureComparison, Progress, silent
from pixelflow.evaluation.sources import DatasetSource
from pixelflow.generation.draw import draw
from pixelflow.generation.pictures import to_pil
from pixelflow.run import Run

_RECIPE = "recipe.json"
_RESULT = "evaluation.json"


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
        }

    @property
    def digest(self) -> str:
        """A short name of the recipe."""
        return _sha256(json.dumps(self.recipe, sort_keys=True))[:10]

    def draw_into(self, folder: Path) -> Iterator[int]:
        """Write ``000000.png ...``, those that are not there yet; yields how many are there after each batch.

        Raises:
            CannotWriteError: the disk refuses, or the folder holds images of another recipe.
        """
        self._claim(folder)
        missing = [index for index in range(self.count) if not _image(folder, index).exists()]
        values = self._values(missing)
        done = self.count - len(missing)
        yield done
        remaining = iter(missing)
        own_seeds = [self.seed + index for index in missing]
        for drawn in draw(self.run.model, self.run.spec, values, own_seeds, sampling=self.sampling):
            for picture in to_pil(drawn.images):
                target = _image(folder, next(remaining))
                draft = target.with_name(f".{target.name}")
                with writing(target):
                    picture.save(draft, format="PNG")
                    draft.replace(target)
            done += len(drawn.images)
            yield done

    def _claim(self, folder: Path) -> None:
        file = folder / _RECIPE
        if file.is_file():
            if _json(file) != self.recipe:
                raise CannotWriteError(f"{folder}: holds an evaluation by another recipe; choose another --out")
            return
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        if any(not entry.name.startswith(".") for entry in folder.iterdir()):  # a kill may leave a draft
            raise CannotWriteError(f"{folder}: is not empty; choose another --out")
        write_text(file, json.dumps(self.recipe, indent=1))

    def _values(self, indices: Sequence[int]) -> Mapping[str, Sequence[Any]]:
        """Labels and captions of some of the images, as far as the run reads them."""
        columns: dict[str, Sequence[Any] | None] = {"label": self.labels, "caption": self.captions}
        return {field: [column[index] for index in indices] for field, column in columns.items() if column is not None}


def captions_for(run: Run, count: int, data: Dataset) -> tuple[str, ...] | None:
    """The data's captions, in their order and begun again when they end; None if the run reads none."""
    if all(conditioner.reads != "caption" for conditioner in run.model.conditioners):
        return None
    return tuple(_caption(data, index) for index in range(count))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _json(file: Path) -> Any:
    """What a file holds; None if it is not JSON."""
    try:
        return json.loads(file.read_text("utf-8"))
    except ValueError:
        return None


def _image(folder: Path, index: int) -> Path:
    return folder / f"{index:06d}.png"


def _caption(dataset: Dataset, index: int) -> str:
    sample = dataset.sample(index % len(dataset), seeds.generator(0, "evaluation", index))
    return (sample.caption if isinstance(sample, Sample) else None) or ""


def folder_dataset(
    folder: Path, height: int, width: int, channels: int, labels: Literal["auto", "none"] = "auto"
) -> ImageFolder:
    """A folder of images, read without augmentation."""
    params = ImageFolder.Params(root=folder, labels=labels).plain()
    return ImageFolder(params, height=height, width=width, channels=channels)


class FolderEvaluation(Settings):
    """Settings where there is no run."""

    evaluation: EvaluationSpec = Field(default_factory=EvaluationSpec)


def plain_dataset(spec: ExperimentSpec) -> Dataset:
    """The spec's data, read without augmentation."""
    return build_dataset(spec.model_copy(update={"data": spec.data.plain()}))


@dataclass(frozen=True)
class Measurement:
    """Images to measure against real ones, and by what."""

    spec: EvaluationSpec
    generated: DatasetSource
    reference: DatasetSource
    subject: Mapping[str, Any]
    """What the images are, for the record."""
    against: Mapping[str, Any]
    """What the real images are, for the record."""

    @classmethod
    def of_run(cls, generation: Generation, images: Path, spec: EvaluationSpec, data: Dataset) -> Measurement:
        """The images that ``generation.draw_into(images)`` wrote, against data."""
        image = generation.run.spec.image
        drawn = folder_dataset(images, image.height, image.width, image.channels)
        return cls(
            spec,
            DatasetSource(drawn, spec.bad_images, generation.labels, generation.captions),
            DatasetSource(data, spec.bad_images),
            {"run": generation.run.spec.name, **generation.recipe},
            {"data": data.params.model_dump(mode="json")},
        )

    @classmethod
    def of_folders(cls, images: Path, reference: Path, spec: EvaluationSpec) -> Measurement:
        """The images below one folder against those below another, at the size of the former's first image.

        Raises:
            MissingInputError, DataError: a folder does not exist, or holds no readable image.
        """
        channels, height, width = first_shape(images)
        found, real = (folder_dataset(folder, height, width, channels) for folder in (images, reference))
        if found.classes != real.classes:  # labels count the classes of their own folder
            found = folder_dataset(images, height, width, channels, labels="none")
        return cls(
            spec,
            DatasetSource(found, spec.bad_images),
            DatasetSource(real, spec.bad_images),
            {"folder": str(images)},
            {"folder": str(reference)},
        )

    def measure(self, folder: Path, device: torch.device, progress: Progress = silent) -> Iterator[dict[str, Any]]:
        """The result of one metric after the other, as it goes into ``evaluation.json``.

        Args:
            folder: keeps the features, for when this is stopped and asked for again.

        Raises:
            DataError: a metric cannot be had from these images; the message names it.
        """
        images = FeatureComparison(
            self.generated,
            self.reference,
            device=device,
            folder=folder / "features",
            cache=cache_folder("features"),
            progress=progress,
        )
        for params in self.spec.metrics:
            metric: Metric = params.build(device=device)
            try:
                values = metric.compute(images)
            except DataError as error:
                raise DataError(f"{metric.title}: {error}") from None
            yield {"metric": metric.title, "values": values, "settings": params.model_dump(mode="json")}

    def record(self, folder: Path, results: Sequence[Mapping[str, Any]]) -> Path:
        """Write what was measured, of what, against what and how; returns the file."""
        body = {
            "pixelflow": pixelflow.__version__,
            "subject": {**self.subject, **_counts(self.generated)},
            "reference": {**self.against, **_counts(self.reference)},
            "results": list(results),
        }
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        file = folder / _RESULT
        write_text(file, json.dumps(body, indent=1, ensure_ascii=False) + "\n")
        return file


def _counts(source: DatasetSource) -> dict[str, Any]:
    return {"measured": len(source), "unreadable": source.tally.reasons}
