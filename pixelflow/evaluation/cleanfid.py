"""clean-fid (Parmar et al., arXiv 2104.11222): the one seam to it, and the metric that is its own code throughout.

Only its functions for arrays are called. Those for folders fail on brackets in a path and on one corrupt file, read
with a fixed number of workers, and keep statistics inside the installed package.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pixelflow.core import torchvision_compat
from pixelflow.core.errors import MissingDependencyError
from pixelflow.core.interfaces import Extractor, ImageSource, Metric
from pixelflow.core.spec import AnyExtractor
from pixelflow.evaluation.distances import Array, against_halves

Mode = Literal["clean", "legacy_pytorch"]


def features(batches: Iterable[Tensor], extractor: Extractor, device: torch.device) -> Array:
    """Features (n d), float64, of batches (b c h w) as they are, by clean-fid's feature code."""
    fid = _module()
    return np.concatenate([fid.get_batch_features(batch, extractor.features, device) for batch in batches]).astype(
        np.float64
    )


def distance(first: Array, second: Array) -> float:
    """clean-fid's Frechet distance of features (n d) and (m d).

    Raises:
        MissingDependencyError: SciPy is a release that it does not work with.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of what the pinned SciPy still has
            return float(_module().fid_from_feats(first, second))
    except TypeError as error:
        raise MissingDependencyError(f"clean-fid needs scipy below 1.18 ({error}); pip install 'scipy<1.18'") from None


def resized(images: Tensor, mode: Mode) -> Tensor:
    """(b c h w) in [-1, 1] -> (b 3 299 299) in [-1, 1]: rounded to 8 bits, then resized as clean-fid does."""
    resize: Callable[[NDArray[np.uint8]], NDArray[np.float32]] = _resizer(mode)
    pixels = ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).expand(-1, 3, -1, -1)
    arrays = [resize(image.permute(1, 2, 0).numpy()) for image in pixels]
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2) / 127.5 - 1


def _resizer(mode: Mode) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    torchvision_compat.make_importable()
    from cleanfid import resize

    made: Callable[[NDArray[np.uint8]], NDArray[np.float32]] = resize.build_resizer(mode)
    return made


def _module() -> ModuleType:
    torchvision_compat.make_importable()
    from cleanfid import fid

    return fid


class CleanFid(Metric):
    """clean-fid's distance between two folders, with an extractor of choice in place of its Inception network.

    Images are rounded to 8 bits and resized to 299 pixels by its own antialiased resampling, and the distance is
    its own. It equals ``cleanfid.fid.compute_fid(..., custom_feat_extractor=...)``; only with the Inception network
    may it be called FID.
    """

    class Params(Metric.Params):
        type: Literal["clean_fid"] = "clean_fid"
        extractor: AnyExtractor = "random_conv"  # type: ignore[assignment]
        """Features in which the distributions are compared."""
        mode: Mode = "clean"
        """clean-fid's own name for how it resizes."""

    params: Params

    def __init__(self, params: Params, *, device: torch.device) -> None:
        super().__init__(params)
        self._device = device

    @property
    def title(self) -> str:
        return f"{self.type_name()} {self.params.mode}, {self.params.extractor.component.type_name()}"

    def compute(self, generated: ImageSource, reference: ImageSource) -> dict[str, float]:
        extractor = self.params.extractor.build(device=self._device)
        extractor.fit(self._resized(reference))
        found, real = (features(self._resized(source), extractor, self._device) for source in (generated, reference))
        return against_halves(distance, found, real)

    def _resized(self, source: ImageSource) -> Iterator[Tensor]:
        for batch in source:
            yield resized(batch.images, self.params.mode)
