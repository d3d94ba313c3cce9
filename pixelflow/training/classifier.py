"""Training the small classifier whose features compare images where no pretrained network is at hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from pixelflow.core import seeds
from pixelflow.core.assembly import build_dataset
from pixelflow.core.component import Count, Settings
from pixelflow.core.interfaces import BadSample, Dataset
from pixelflow.core.spec import ExperimentSpec
from pixelflow.data.bad_samples import Tally
from pixelflow.data.surveys import told
from pixelflow.metrics.classifier import About, ClassifierNetwork, prepared
from pixelflow.metrics.splits import held_out, some
from pixelflow.system.errors import DataError

_HELD_OUT = 10
"""One in so many images, of each class as well, is kept for the accuracy."""
_LARGEST = 32
"""Pixels of the longer side, at most."""
_MOST_SHIFT = 1 / 8
"""Of the side, by which training images are shifted at random."""


class ClassifierTraining(Settings):
    """How the classifier is trained."""

    steps: Count = 2500
    """Optimizer steps."""
    batch_size: Count = 128
    """Images an optimizer step."""
    learning_rate: float = 4e-3
    """The highest rate of the one-cycle schedule."""
    images: Count = 50_000
    """At most so many images are read, drawn at random by the spec's seed."""


Progress = Callable[[str, int, int], None]
"""``progress(what, done, total)``"""


def train_classifier(
    spec: ExperimentSpec,
    settings: ClassifierTraining,
    device: torch.device,
    progress: Progress,
    say: Callable[[str], None] = lambda line: None,
) -> tuple[ClassifierNetwork, About]:
    """A classifier of the labels of a spec's data; `say` is told what these are.

    Raises:
        DataError: the data have no labels, or are too few, or too many of them cannot be read.
    """
    dataset = build_dataset(spec.model_copy(update={"data": spec.data.plain()}))
    say(told(dataset))
    if len(dataset.classes) < 2:
        raise DataError("train-extractor needs data with labels of at least two classes; see data in the spec")
    side = min(_LARGEST, max(spec.image.size))
    pixels, labels = _read(dataset, side, settings.images, spec.seed, spec.evaluation.bad_images, progress)
    if len(labels) < _HELD_OUT:
        raise DataError(f"train-extractor needs at least {_HELD_OUT} images, not {len(labels)}")
    is_held_out = torch.from_numpy(held_out(labels.numpy(), _HELD_OUT, spec.seed))
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(spec.seed)
        network = ClassifierNetwork(len(dataset.classes)).to(device)
    _fit(network, pixels[~is_held_out], labels[~is_held_out], settings, spec.seed, device, progress)
    accuracy = _accuracy(network, pixels[is_held_out], labels[is_held_out], device)
    recipe = {
        "data": spec.data.model_dump(mode="json"),
        "seed": spec.seed,
        "images": len(labels),
        **settings.model_dump(mode="json"),
    }
    return network.eval(), About(dataset.classes, side, accuracy, recipe)


def _read(
    dataset: Dataset, side: int, most: int, seed: int, bad_images: int, progress: Progress
) -> tuple[Tensor, Tensor]:
    """8-bit pixels (n 3 h w) and labels (n) of readable images, of at most so many."""
    tally = Tally(bad_images, "evaluation.bad_images")
    pixels: list[Tensor] = []
    labels: list[int] = []
    chosen = some(len(dataset), most, seed).tolist()
    for number, index in enumerate(chosen, 1):
        sample = dataset.sample(index, seeds.generator(0, "classifier", index))
        if isinstance(sample, BadSample):
            tally.add([sample])
        elif sample.label is not None:
            image = prepared(sample.image[None], side)
            pixels.append(((image.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8))
            labels.append(sample.label)
        progress("images", number, len(chosen))
    if not labels:
        raise DataError("train-extractor: none of the images can be read and has a label")
    return torch.cat(pixels), torch.tensor(labels)


def _fit(
    network: ClassifierNetwork,
    pixels: Tensor,
    labels: Tensor,
    settings: ClassifierTraining,
    seed: int,
    device: torch.device,
    progress: Progress,
) -> None:
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.02)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, settings.steps)
    generator = seeds.generator(seed, "classifier")
    network.train()
    for step, chosen in enumerate(_batches(len(labels), settings, generator)):
        images = _shifted(_floats(pixels[chosen], device), generator)
        with torch.autocast(device.type, torch.bfloat16):
            logits = network(images)
        loss = F.cross_entropy(logits.float(), labels[chosen].to(device), label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rate.step()
        progress("steps", step + 1, settings.steps)


def _batches(count: int, settings: ClassifierTraining, generator: torch.Generator) -> Iterator[Tensor]:
    """Indices for each step: all images in a new order, again and again."""
    queue = torch.empty(0, dtype=torch.long)
    for _ in range(settings.steps):
        while len(queue) < settings.batch_size:
            queue = torch.cat([queue, torch.randperm(count, generator=generator)])
        yield queue[: settings.batch_size]
        queue = queue[settings.batch_size :]


def _floats(pixels: Tensor, device: torch.device) -> Tensor:
    """8-bit (b 3 h w) -> [-1, 1] on the device"""
    return pixels.to(device).float().div(127.5).sub(1).contiguous(memory_format=torch.channels_last)


def _shifted(images: Tensor, generator: torch.Generator) -> Tensor:
    """All images of a batch by the same random number of pixels, the edges repeated."""
    most = round(_MOST_SHIFT * min(images.shape[-2:]))
    down, right = torch.randint(2 * most + 1, (2,), generator=generator).tolist()
    height, width = images.shape[-2:]
    padded = F.pad(images, (most, most, most, most), mode="replicate")
    return padded[..., down : down + height, right : right + width]


@torch.no_grad()
def _accuracy(network: ClassifierNetwork, pixels: Tensor, labels: Tensor, device: torch.device) -> float:
    network.eval()
    given = [network(_floats(part, device)).argmax(1).cpu() for part in pixels.split(500)]
    return float((torch.cat(given) == labels).double().mean())
