"""Checks of data sets, feature extractors and metrics."""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterator

import torch

from pixelflow.contracts.checking import Check, expect, expect_close, expect_gradient, expect_like
from pixelflow.contracts.partners import Held
from pixelflow.core.interfaces import BadSample, Dataset, Extractor, ImageBatch, Metric, Sample

_HEIGHT, _WIDTH = 16, 24
_IMAGES = 50
_CPU = torch.device("cpu")
_ROUNDING = 1e-6


def _read(dataset: Dataset, index: int, seed: int = 0) -> Sample | BadSample:
    return dataset.sample(index, torch.Generator().manual_seed(seed))


def gives_images(params: Dataset.Params) -> None:
    """Images of the asked size and channels, in [-1, 1]; what cannot be read is a BadSample."""
    for channels in (1, 3):
        dataset: Dataset = params.build(height=_HEIGHT, width=_WIDTH, channels=channels)
        expect(len(dataset) > 0, "it is empty")
        for index in {0, len(dataset) // 2, len(dataset) - 1}:
            sample = _read(dataset, index)
            if isinstance(sample, Sample):
                expect_like(sample.image, (channels, 16, 24), torch.float32, f"image {index}")
                expect(float(sample.image.abs().max()) <= 1 + 1e-5, f"image {index} leaves [-1, 1]")
            else:
                expect(isinstance(sample, BadSample), f"element {index} is a {type(sample).__name__}")


def keeps_shapes(params: Dataset.Params) -> None:
    """A data set that ``keeps_shape`` gives images of the sizes that it is handed."""
    cls = params.component
    if not (issubclass(cls, Dataset) and cls.keeps_shape):
        return
    sizes = ((24, 16), (16, 24))
    dataset: Dataset = params.build(height=_HEIGHT, width=_WIDTH, channels=3, sizes=sizes)
    for index in {0, len(dataset) - 1}:
        sample = _read(dataset, index)
        if isinstance(sample, Sample):
            size = tuple(sample.image.shape[1:])
            expect(size in sizes, f"image {index} has {size[0]}x{size[1]} pixels, which is none of the sizes")


def names_its_labels(params: Dataset.Params) -> None:
    """Every label has a name of its own in ``classes``; without classes there are no labels."""
    dataset: Dataset = params.build(height=_HEIGHT, width=_WIDTH, channels=3)
    expect(len(set(dataset.classes)) == len(dataset.classes), "two classes have one name")
    for index in range(0, len(dataset), max(1, len(dataset) // 50)):
        sample = _read(dataset, index)
        if isinstance(sample, Sample) and sample.label is not None:
            expect(
                0 <= sample.label < len(dataset.classes),
                f"element {index} has label {sample.label}, and there are {len(dataset.classes)} classes",
            )


def follows_the_generator(params: Dataset.Params) -> None:
    """The generator alone decides on augmentation, also in a worker's copy."""
    dataset: Dataset = params.build(height=_HEIGHT, width=_WIDTH, channels=3)
    copy: Dataset = pickle.loads(pickle.dumps(dataset))
    first, again, copied = _read(dataset, 0), _read(dataset, 0), _read(copy, 0)
    if isinstance(first, Sample) and isinstance(again, Sample) and isinstance(copied, Sample):
        expect(torch.equal(first.image, again.image), "one seed gave two images")
        expect(torch.equal(first.image, copied.image), "a pickled copy gives another image")


def lists_its_captions(params: Dataset.Params) -> None:
    """``captions`` holds every caption that an element shows."""
    dataset: Dataset = params.build(height=_HEIGHT, width=_WIDTH, channels=3)
    for index in {0, len(dataset) // 2, len(dataset) - 1}:
        listed = list(dataset.captions(index))
        for seed in range(3):
            sample = _read(dataset, index, seed)
            shown = sample.caption if isinstance(sample, Sample) else None
            expect(shown is None or shown in listed, f"element {index} shows {shown!r}; `captions` does not list it")


def gives_features(params: Extractor.Params) -> None:
    """One row of finite features an image, grey or in colour, large or small."""
    for channels, side in ((1, 8), (3, 8), (3, 40)):
        extractor: Extractor = params.build(device=_CPU)
        images = torch.rand(_IMAGES, channels, side, side) * 2 - 1
        extractor.fit(images.split(20))
        features = extractor.features(images)
        expect(features.ndim == 2, f"the features have shape {tuple(features.shape)}, not (b d)")
        expect_like(features, (_IMAGES, features.shape[-1]), features.dtype, "the features")


def measures_images_alone(params: Extractor.Params) -> None:
    """An image's features do not depend on the batch around it, nor on when they are asked for."""
    extractor: Extractor = params.build(device=_CPU)
    images = torch.rand(_IMAGES, 3, 16, 16) * 2 - 1
    extractor.fit([images])
    together, alone = extractor.features(images)[2:3], extractor.features(images[2:3])
    expect_close(together.double(), alone.double(), 1e-4, "alone it has other features")
    different = float((extractor.features(images)[0] - extractor.features(images)[1]).abs().max())
    expect(different > 0, "two images have the same features")


def lets_gradients_through(params: Extractor.Params) -> None:
    """Where it says so, gradients pass from features and inner maps to the images, without anything learnt before."""
    extractor: Extractor = params.build(device=_CPU)
    if not extractor.is_differentiable:
        return
    images = (torch.rand(3, 3, 16, 16) * 2 - 1).requires_grad_()
    expect_gradient(extractor.features(images), images, "the features")
    expect(bool(extractor.maps(images)), "there are no inner maps")
    for place in range(len(extractor.maps(images))):
        one = extractor.maps(images)[place]
        expect(one.ndim == 4 and len(one) == 3, f"an inner map has shape {tuple(one.shape)}, not (b d h w)")
        expect_gradient(one, images, "an inner map")


class _Pictures:
    """Smooth random images of ten labels, with captions, in batches."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def __iter__(self) -> Iterator[ImageBatch]:
        generator = torch.Generator().manual_seed(self._seed)
        for _ in range(4):
            coarse = torch.rand(20, 3, 4, 4, generator=generator) * 2 - 1
            images = coarse.repeat_interleave(4, -1).repeat_interleave(4, -2)
            yield ImageBatch(images, [*range(10)] * 2, ["a red square"] * 20)


def gives_figures(params: Metric.Params) -> None:
    """Named finite figures within the bounds, the same when they are asked for again."""
    metric: Metric = params.build(device=_CPU)
    images = Held(_Pictures(0), _Pictures(1))
    figures = metric.compute(images)
    expect(bool(figures), "there are no figures")
    unnamed = sorted(figures.keys() - set(metric.figures or figures))
    expect(not unnamed, f"{', '.join(unnamed)} is not among the figures that it names, {', '.join(metric.figures)}")
    odd = [name for name, figure in figures.items() if not math.isfinite(figure)]
    expect(not odd, f"{', '.join(odd)} is not finite")
    low, high = metric.bounds
    outside = [name for name, figure in figures.items() if not low - _ROUNDING <= figure <= high + _ROUNDING]
    expect(not outside, f"{', '.join(outside)} lies outside of its bounds, {low:g} to {high:g}")
    again = metric.compute(images)
    changed = [name for name, figure in figures.items() if not math.isclose(figure, again[name], rel_tol=1e-4)]
    expect(not changed, f"{', '.join(changed)} differs when it is computed again")


DATASET_CHECKS: tuple[Check, ...] = (
    gives_images,
    keeps_shapes,
    names_its_labels,
    follows_the_generator,
    lists_its_captions,
)
EXTRACTOR_CHECKS: tuple[Check, ...] = (gives_features, measures_images_alone, lets_gradients_through)
METRIC_CHECKS: tuple[Check, ...] = (gives_figures,)
