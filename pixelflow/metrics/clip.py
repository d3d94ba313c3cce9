"""Images through the image tower of an open-clip model (CLIP, arXiv 2103.00020)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from pixelflow.core.interfaces import Extractor
from pixelflow.metrics.in_network import OfNetwork
from pixelflow.metrics.pixels import to_8_bits, to_pictures
from pixelflow.system import pretrained, torchvision_compat
from pixelflow.system.distribution import install
from pixelflow.system.errors import DataError, MissingDependencyError

_FILES = ("open_clip_config.json", "open_clip_model.safetensors")
_HASHES = {
    "timm/vit_base_patch32_clip_224.openai": "e6d1bd7789aa45192b3bf90570a789b478bae1b74ebcce7eddd908e83a2b7c31",
    "timm/vit_large_patch14_clip_336.openai": "fbc415c3d0d7b79faed8f5ccfb740c32b7c4f5ffe7283b851f89c6231c01a8e0",
}
"""SHA-256 of the weights of networks that published figures are from."""
_TEXTS = 256
"""Captions that are encoded at a time."""


class ClipFolder(OfNetwork):
    """Which CLIP, for the settings of all that uses one."""

    model: str = "timm/vit_base_patch32_clip_224.openai"
    """A name on the Hugging Face hub, or a folder, in open-clip's form. Nothing is downloaded."""

    @property
    def note(self) -> str:
        return f", {self.model}"


class ClipModel:
    """Both towers of a folder in open-clip's form, read from safetensors alone."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        clip, name = _open_clip(), f"local-dir:{folder}"
        self._device = device
        self._network, _, self._preprocess = clip.create_model_and_transforms(name, device=device)
        self._network.eval().requires_grad_(False)
        self._tokenise = clip.get_tokenizer(name)

    def images(self, images: Tensor, resize: Literal["crop", "square"]) -> Tensor:
        """(b c h w) in [-1, 1] -> (b d)"""
        prepared = self._cropped(images) if resize == "crop" else self._squared(images)
        features: Tensor = self._network.encode_image(prepared)
        return features

    def texts(self, captions: Sequence[str]) -> Tensor:
        """Embeddings (b d), of length 1 and on the CPU, of captions; what is too long is cut off."""
        starts = range(0, len(captions), _TEXTS)
        return torch.cat([self._texts(captions[start : start + _TEXTS]) for start in starts])

    def _texts(self, captions: Sequence[str]) -> Tensor:
        features: Tensor = self._network.encode_text(self._tokenise(list(captions)).to(self._device), normalize=True)
        return features.cpu()

    def _cropped(self, images: Tensor) -> Tensor:
        """As its publishers prepare pictures: the shorter side to its size, bicubic, then the middle."""
        return torch.stack([self._preprocess(picture) for picture in to_pictures(images)]).to(self._device)

    def _squared(self, images: Tensor) -> Tensor:
        """The whole picture to a square, bicubic, without rounding."""
        settings = self._network.visual.preprocess_cfg
        values = to_8_bits(images.to(self._device)) / 255
        values = F.interpolate(values, settings["size"], mode="bicubic", antialias=True)
        mean, deviation = (values.new_tensor(settings[key])[:, None, None] for key in ("mean", "std"))
        return (values - mean) / deviation


def folder_of(settings: ClipFolder) -> Path:
    """Where the model lies; raises as `pretrained.folder_of` does."""
    return pretrained.folder_of(settings.model, "CLIP", _FILES, _HASHES.get(settings.model))


@lru_cache(maxsize=2)
def read_clip(folder: Path, device: torch.device) -> ClipModel:
    """The model of a folder, kept for the next that asks; raises DataError if it cannot be read."""
    _open_clip()
    try:
        return ClipModel(folder, device)
    except Exception as error:  # it raises whatever its parsers of hostile files raise
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(f"the CLIP in {folder} cannot be read ({reason})") from None


def _open_clip() -> ModuleType:
    torchvision_compat.make_importable()
    try:
        import open_clip
    except ImportError:
        raise MissingDependencyError(f"CLIP needs the package open-clip-torch: {install('clip')}") from None
    module: ModuleType = open_clip
    return module


class Clip(Extractor):
    """Embeddings of images by CLIP, before the comparison with texts."""

    class Params(ClipFolder, Extractor.Params):
        type: Literal["clip"] = "clip"
        resize: Literal["crop", "square"] = "crop"
        """"crop": as the model's publishers prepare pictures; "square": the whole picture, distorted if need be."""
        normalised: bool = False
        """Scale each embedding to length 1."""

        @property
        def identity(self) -> dict[str, object]:
            return self.model_dump(mode="json", exclude={"model"})

    params: Params

    @property
    def weights_sha256(self) -> str:
        return pretrained.fingerprint(folder_of(self.params))

    def prepare(self) -> None:
        read_clip(folder_of(self.params), self.device)

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        found = read_clip(folder_of(self.params), self.device).images(images, self.params.resize)
        return F.normalize(found, dim=-1) if self.params.normalised else found
