"""What an evaluation starts from: images in a folder or an npz, data of a spec, saved statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from pixelflow.core import absent, reading
from pixelflow.core.assembly import build_dataset
from pixelflow.core.classes import match
from pixelflow.core.component import Settings
from pixelflow.core.interfaces import Dataset
from pixelflow.core.sizes import Size
from pixelflow.core.spec import EvaluationSpec, ExperimentSpec
from pixelflow.data import npz
from pixelflow.data.framing import ground_of
from pixelflow.data.image_folder import ImageFolder
from pixelflow.evaluation.folders import Pictures
from pixelflow.evaluation.sources import DatasetSource, Source
from pixelflow.evaluation.statistics import NoImages, Statistics, in_file
from pixelflow.system.errors import DataError, MissingInputError, UsageError
from pixelflow.system.printing import printable

Shape = tuple[int, int, int]
"""Channels, height and width."""

REFERENCE = "evaluation.reference"
"""The setting, for what is wrong with its value."""

_SPECS = (".yaml", ".yml")
_NAMED = 3


@dataclass(frozen=True)
class Reference:
    """Real images, or statistics of them, or both."""

    source: Source
    told: Mapping[str, object]
    """What they are, for the record."""
    statistics: Statistics | None = None
    notes: tuple[str, ...] = ()
    """What a reader of the figures should know about sizes; a line each."""

    @classmethod
    def of(cls, data: Dataset, bad_images: int) -> Reference:
        """A data set, of which so many images may be unreadable."""
        return cls(DatasetSource(data, bad_images), {"data": data.params.model_dump(mode="json")})

    def class_notes(self, generated: DatasetSource) -> tuple[str, ...]:
        """What is to be known of the classes of generated images beside these; metrics refuse what cannot be told."""
        real = self.source
        if not (isinstance(real, DatasetSource) and real.is_labelled and generated.is_labelled):
            return ()
        try:
            note = match(generated.classes, real.classes, of="the generated images", there="the real ones").note
        except DataError as error:
            return (str(error),)
        return () if note is None else (note,)


@dataclass(frozen=True)
class Images:
    """Images in files, that are to be measured."""

    path: Path
    dataset: Dataset
    shape: Shape
    told: Mapping[str, object]
    pictures: Pictures | None = None
    """Which pictures of a folder they are."""
    notes: tuple[str, ...] = ()

    def source(self, bad_images: int) -> DatasetSource:
        """Themselves, of which so many may be unreadable."""
        if self.pictures is None:
            return DatasetSource(self.dataset, bad_images)
        own = self.pictures
        return DatasetSource(self.dataset, bad_images, own.labels, own.captions, own.indices, own.classes)


class FileEvaluation(Settings):
    """Settings where there is no run."""

    evaluation: EvaluationSpec = Field(default_factory=EvaluationSpec)


def plain_dataset(spec: ExperimentSpec) -> Dataset:
    """The spec's data, read without augmentation and at its nominal size."""
    image = spec.image.model_copy(update={"max_aspect": None})
    return build_dataset(spec.model_copy(update={"data": spec.data.plain(), "image": image}))


def open_images(path: Path, reference: Path | None = None) -> Images:
    """The images below a folder or in an npz, at the size that most of them have.

    They are read in colour if one of them, or of the reference's, shows colour: what is measured must not depend on
    which picture comes first.

    Raises:
        MissingInputError, DataError, SpecError: they are not there, or none can be read.
    """
    beside = 1 if reference is None else _channels(reference)
    if path.suffix == ".npz":
        channels, height, width = npz.image_shape(path)
        shape = (max(channels, beside), height, width)
        return Images(path, dataset_at(path, shape), shape, {"npz": printable(str(path))})
    pictures = Pictures(path)
    shape = (max(pictures.channels, beside), *pictures.sizes[0])
    notes = (*pictures.notes, *_notes(pictures, shape, "the size that most of them have"))
    return Images(path, dataset_at(path, shape), shape, {"folder": printable(str(path))}, pictures, notes)


def _channels(reference: Path) -> int:
    """3 if reference images are in colour; 1 if they are grey, or there are only statistics of them."""
    check_reference(reference)
    if reference.suffix in _SPECS:
        return _spec_at(reference).image.channels
    if reference.suffix != ".npz":
        return Pictures(reference).channels
    return npz.image_shape(reference)[0] if npz.IMAGES in npz.members(reference) else 1


def reference_for(spec: ExperimentSpec, data: Dataset | None) -> Reference:
    """What the spec's ``evaluation.reference`` names, else its data; raises as `open_reference` does."""
    settings = spec.evaluation
    if settings.reference is not None:
        shape = (spec.image.channels, *spec.image.size)
        return open_reference(settings.reference, shape, settings.bad_images, ground_of(spec.data))
    assert data is not None
    return Reference.of(data, settings.bad_images)


def check_reference(path: Path, named: str = REFERENCE) -> None:
    """Raise MissingInputError or UsageError if there is no folder or file that can hold real images or statistics."""
    if not path.exists():
        raise MissingInputError(f"{named} {path}: there is no such folder, npz or spec, relative to {Path.cwd()}")
    if path.is_file() and path.suffix not in (".npz", *_SPECS):
        raise UsageError(f"{named} {path}: is no folder of images, npz or spec")


def open_reference(path: Path, shape: Shape, bad_images: int, ground: str = "white") -> Reference:
    """Real images (a folder, an npz, the data of a spec) at the size of those measured, or saved statistics.

    Args:
        ground: the colour behind transparent pixels of a folder's pictures.

    Raises:
        MissingInputError, UsageError, DataError, SpecError: they are not there, or none can be read.
    """
    check_reference(path)
    if path.suffix in _SPECS:
        return _of_spec(path, shape, bad_images)
    if path.suffix != ".npz":
        pictures = Pictures(path)
        notes = (*pictures.notes, *_notes(pictures, shape, "that of the images that are measured"))
        told = {"folder": printable(str(path)), **({} if ground == "white" else {"ground": ground})}
        images = Images(path, dataset_at(path, shape, ground), shape, told, pictures)
        return Reference(images.source(bad_images), images.told, None, notes)
    members = npz.members(path)
    statistics = in_file(path, members)
    if npz.IMAGES not in members:
        if statistics is None:
            raise DataError(f"{path}: holds neither images ({npz.IMAGES}) nor statistics")
        return Reference(NoImages(path), {"statistics": printable(str(path)), "recipe": statistics.recipe}, statistics)
    dataset = dataset_at(path, shape)
    own = npz.image_shape(path)
    notes = () if own == shape else (_resized(path, [own[1:]], shape, "that of the images that are measured"),)
    return Reference(DatasetSource(dataset, bad_images), {"npz": printable(str(path))}, statistics, notes)


def _of_spec(path: Path, shape: Shape, bad_images: int) -> Reference:
    channels, height, width = shape
    data: Dataset = _spec_at(path).data.plain().build(height=height, width=width, channels=channels)
    return Reference.of(data, bad_images)


def _spec_at(path: Path) -> ExperimentSpec:
    with absent.allowed(absent.by_name):  # its data alone are asked for
        return reading.validate(ExperimentSpec, reading.read_document(path))


def dataset_at(path: Path, shape: Shape, ground: str = "white") -> Dataset:
    """A folder or an npz, read without augmentation."""
    channels, height, width = shape
    if path.suffix == ".npz":
        return npz.Npz(npz.Npz.Params(file=path).plain(), height=height, width=width, channels=channels)
    params = ImageFolder.Params(root=path, ground=ground).plain()
    return ImageFolder(params, height=height, width=width, channels=channels)


def _notes(pictures: Pictures, shape: Shape, whose: str) -> tuple[str, ...]:
    found = pictures.sizes
    return (_resized(pictures.root, found, shape, whose),) if set(found) - {shape[1:]} else ()


def _resized(path: Path, found: Sequence[Size], shape: Shape, whose: str) -> str:
    named = ", ".join(f"{height} x {width}" for height, width in found[:_NAMED])
    more = f" and {len(found) - _NAMED} more sizes" if len(found) > _NAMED else ""
    return (
        f"{printable(str(path))}: has images of {named}{more} (height x width); "
        f"all are resized and cut at the centre to {shape[1]} x {shape[2]}, {whose}"
    )
