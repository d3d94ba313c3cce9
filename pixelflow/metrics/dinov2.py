"""Images through DINOv2 (arXiv 2304.07193), read by transformers."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from pydantic import Field
from torch import Tensor, nn

from pixelflow.core.interfaces import Extractor
from pixelflow.metrics.in_network import OfNetwork
from pixelflow.metrics.pixels import to_pictures
from pixelflow.system import pretrained, torchvision_compat
from pixelflow.system.distribution import install
from pixelflow.system.errors import DataError, MissingDependencyError

_FILES = ("config.json", "*.safetensors")
_HASHES = {"facebook/dinov2-large": "399fba97a95f22c36834418bc69373364a99af3a1153da1c0fb31db567c92e23"}
"""SHA-256 of the weights of the network that published figures are from."""
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's colours."""


class DinoFolder(OfNetwork):
    """Which DINOv2, for the settings of all that uses one."""

    model: str = "facebook/dinov2-large"
    """A name on the Hugging Face hub, or a folder, in transformers' form. Nothing is downloaded."""

    @property
    def note(self) -> str:
        return f", {self.model}"


class Dinov2(Extractor):
    """The class token behind the last norm; of images resized to a square, bicubic, and rounded to 8 bits."""

    class Params(DinoFolder, Extractor.Params):
        type: Literal["dinov2"] = "dinov2"
        side: int = Field(default=224, ge=14)
        """Pixels along each side of the images that it sees."""

        @property
        def identity(self) -> dict[str, object]:
            return self.model_dump(mode="json", exclude={"model"})

    params: Params

    @property
    def weights_sha256(self) -> str:
        return pretrained.fingerprint(self._folder)

    @property
    def _folder(self) -> Path:
        return pretrained.folder_of(self.params.model, self.type_name(), _FILES, _HASHES.get(self.params.model))

    def prepare(self) -> None:
        _network(self._folder, self.device)

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        side = (self.params.side, self.params.side)
        pictures = [np.asarray(one.resize(side, Image.Resampling.BICUBIC)) for one in to_pictures(images)]
        values = torch.from_numpy(np.stack(pictures)).to(self.device).permute(0, 3, 1, 2) / 255
        mean, deviation = (values.new_tensor(each)[:, None, None] for each in (_MEAN, _DEVIATION))
        network = _network(self._folder, self.device)
        features: Tensor = network(pixel_values=(values - mean) / deviation).pooler_output
        return features


@lru_cache(maxsize=1)
def _network(folder: Path, device: torch.device) -> nn.Module:
    """The model of a folder, read from safetensors alone."""
    torchvision_compat.make_importable()
    try:
        import transformers
    except ImportError:
        raise MissingDependencyError(f"dinov2 needs the package transformers: {install('t5')}") from None
    transformers.utils.logging.disable_progress_bar()
    reader: Any = transformers.Dinov2Model
    try:
        model, report = reader.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except Exception as error:  # it raises whatever its parsers of hostile files raise
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(f"dinov2: the model in {folder} cannot be read ({reason})") from None
    if report["missing_keys"]:
        raise DataError(f"dinov2: the weights in {folder} lack {sorted(report['missing_keys'])[0]}; are they DINOv2's?")
    network: nn.Module = model.to(device).eval().requires_grad_(False)
    return network
