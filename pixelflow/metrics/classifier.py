"""A small classifier that is trained on the reference data (``pixelflow train-extractor``), and its features."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import safetensors.torch
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from torch import Tensor, nn

from pixelflow.core.interfaces import Extractor
from pixelflow.system.errors import DataError, MissingInputError
from pixelflow.system.files import read_bytes, write_bytes
from pixelflow.system.sealed_arrays import check_safetensors, seal_safetensors

_LEAST = 8
"""Pixels that the network needs along each side."""
_LARGEST = 1 << 28
"""Bytes of a file of such a classifier."""
_ABOUT = "pixelflow_classifier"


@dataclass(frozen=True)
class About:
    """What a file of such a classifier says of it."""

    classes: tuple[str, ...]
    side: int
    """Pixels of the longer side of the images that it sees."""
    accuracy: float
    """On real images that it was not trained on."""
    recipe: dict[str, object]
    """How it was trained."""


class ClassifierNetwork(nn.Module):
    """Five convolutions and a mean over places; a quarter of a million weights."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_convolution(3, 32, kernel=4, stride=2),
            *(*_convolution(32, 48), nn.MaxPool2d(2)),
            *_convolution(48, 96),
            *(*_convolution(96, 96), nn.MaxPool2d(2)),
            *_convolution(96, 128),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.head = nn.Linear(128, classes)

    def forward(self, images: Tensor) -> Tensor:
        """(b 3 h w) -> logits (b classes)"""
        logits: Tensor = self.head(self.body(images))
        return logits


def _convolution(before: int, after: int, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(before, after, kernel, stride, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(after), nn.ReLU()]


def prepared(images: Tensor, side: int) -> Tensor:
    """(b c h w) -> (b 3 h' w') whose longer side has `side` pixels; grey becomes colour."""
    longer = max(images.shape[-2:])
    if longer != side or min(images.shape[-2:]) < _LEAST:
        size = [max(_LEAST, round(length * side / longer)) for length in images.shape[-2:]]
        images = F.interpolate(images, size, mode="bilinear", antialias=True)
    return images.expand(-1, 3, -1, -1)


def save(file: Path, network: ClassifierNetwork, about: About) -> str:
    """Write a classifier as safetensors, which say in their header what it is; returns the file's SHA-256.

    Raises:
        CannotWriteError: the system refuses.
    """
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    content = seal_safetensors(safetensors.torch.save(weights, {_ABOUT: json.dumps(asdict(about), sort_keys=True)}))
    write_bytes(file, content)
    return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class Classifier:
    """A trained classifier on a device."""

    network: ClassifierNetwork
    about: About
    sha256: str

    def features(self, images: Tensor) -> Tensor:
        """(b c h w) in [-1, 1], on the device -> (b d), before the last layer"""
        features: Tensor = self.network.body(prepared(images.float(), self.about.side))
        return features

    def maps(self, images: Tensor) -> list[Tensor]:
        """(b c h w) in [-1, 1], on the device -> (b d h' w') behind each convolution, finest first"""
        x, found = prepared(images.float(), self.about.side), []
        for layer in self.network.body:
            x = layer(x)
            if isinstance(layer, nn.ReLU):
                found.append(x)
        return found

    @torch.no_grad()
    def labels(self, features: Tensor) -> Tensor:
        """(b d) -> the likeliest label (b)"""
        given: Tensor = self.network.head(features).argmax(1)
        return given


def read(file: Path, device: torch.device) -> Classifier:
    """The classifier in a file, kept for the next that asks.

    Raises:
        MissingInputError, DataError: there is no such file, or it is of another kind.
    """
    if not file.is_file():
        raise MissingInputError(f"{file}: there is no such classifier; make it by 'pixelflow train-extractor SPEC'")
    state = file.stat()
    return _read(file, device, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=2)
def _read(file: Path, device: torch.device, size: int, changed: int) -> Classifier:
    content = read_bytes(file, _LARGEST)
    metadata = check_safetensors(content, str(file))
    try:
        told = json.loads(metadata[_ABOUT])
        about = About(tuple(told["classes"]), told["side"], told["accuracy"], told["recipe"])
        network = ClassifierNetwork(len(about.classes))
        network.load_state_dict(safetensors.torch.load(content))
    except (SafetensorError, ValueError, LookupError, TypeError, RuntimeError, OverflowError):
        raise DataError(f"{file}: holds no classifier of 'pixelflow train-extractor'; make it anew") from None
    network = network.to(device).eval().requires_grad_(False)
    return Classifier(network, about, hashlib.sha256(content).hexdigest())


class ClassifierFeatures(Extractor):
    """What a small classifier, trained on the reference data, sees in an image; needs no download, is never FID."""

    is_differentiable = True

    class Params(Extractor.Params):
        type: Literal["classifier"] = "classifier"
        weights: Path
        """The file that ``pixelflow train-extractor`` wrote; a relative path starts at the current directory."""

        @property
        def identity(self) -> dict[str, object]:
            return self.model_dump(mode="json", exclude={"weights"})

    params: Params

    @property
    def weights_sha256(self) -> str:
        return self._classifier.sha256

    @property
    def _classifier(self) -> Classifier:
        return read(self.params.weights.expanduser(), self.device)

    def prepare(self) -> None:
        read(self.params.weights.expanduser(), self.device)

    def features(self, images: Tensor) -> Tensor:
        return self._classifier.features(images.to(self.device))

    def maps(self, images: Tensor) -> list[Tensor]:
        return self._classifier.maps(images.to(self.device))
