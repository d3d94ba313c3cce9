"""FID and its relatives: one Frechet distance, each in other features and by another protocol."""

from __future__ import annotations

import math
from abc import ABC
from typing import ClassVar, Literal

from pixelflow.core.interfaces import Comparison
from pixelflow.metrics.adm_inception import POOL_PART, SPATIAL_PART, AdmMetric
from pixelflow.metrics.clip import Clip, ClipFolder
from pixelflow.metrics.dinov2 import DinoFolder, Dinov2
from pixelflow.metrics.distances import frechet_to
from pixelflow.metrics.in_network import InNetwork
from pixelflow.metrics.inception import InceptionPool, ResizedByCleanFid
from pixelflow.metrics.inception_pytorch import PtInceptionFile, PytorchInception


class NetworkFrechet(InNetwork, ABC):
    """The Frechet distance in a network's features, or a part of them (Heusel et al., arXiv 1706.08500).

    Subclasses are rows of a table: network, part, protocol and the name of the figure.
    """

    part: ClassVar[slice] = slice(None)
    bounds = (0.0, math.inf)

    def compute(self, images: Comparison) -> dict[str, float]:
        (figure,) = self.figures
        mean, covariance = images.reference_moments(self.extractor)
        found = images.generated_features(self.extractor)[:, self.part]
        return {figure: frechet_to(found, mean[self.part], covariance[self.part, self.part])}


class Fid(NetworkFrechet):
    """The Frechet distance in pool_3 of the Inception network, images resized as clean-fid does.

    Protocol: Parmar et al., arXiv 2104.11222.
    """

    figures = ("fid",)
    network = InceptionPool

    class Params(ResizedByCleanFid, InNetwork.Params):
        type: Literal["fid"] = "fid"

    params: Params

    @property
    def protocol(self) -> str:
        return self.params.protocol


class PytorchFid(NetworkFrechet):
    """The Frechet distance in pool_3 of the Inception network, images resized without antialiasing."""

    figures = ("fid",)
    network = PytorchInception
    protocol = "pytorch-fid; clean-fid, mode legacy_pytorch"

    class Params(PtInceptionFile, InNetwork.Params):
        type: Literal["pytorch_fid"] = "pytorch_fid"


class AdmFid(NetworkFrechet, AdmMetric):
    """The Frechet distance in pool_3 of the Inception network, images resized inside TensorFlow's graph.

    Protocol: Dhariwal and Nichol, arXiv 2105.05233.
    """

    figures = ("fid",)
    part = POOL_PART

    class Params(AdmMetric.Params):
        type: Literal["adm_fid"] = "adm_fid"


class AdmSfid(NetworkFrechet, AdmMetric):
    """The Frechet distance in 2023 values of mixed_6/conv, which keep where in the image they are.

    sFID: Nash et al., arXiv 2103.03841; protocol: Dhariwal and Nichol, arXiv 2105.05233.
    """

    figures = ("sfid",)
    part = SPATIAL_PART

    class Params(AdmMetric.Params):
        type: Literal["adm_sfid"] = "adm_sfid"


class FdDinov2(NetworkFrechet):
    """The Frechet distance in the class token of DINOv2, at 224 pixels; the paper's is with ViT-L/14.

    Protocol: Stein et al., arXiv 2306.04675.
    """

    figures = ("fd_dinov2",)
    network = Dinov2
    protocol = "dgm-eval, dinov2"

    class Params(DinoFolder, InNetwork.Params):
        type: Literal["fd_dinov2"] = "fd_dinov2"


class ClipFid(NetworkFrechet):
    """The Frechet distance in CLIP's embeddings of images, not normalised; clean-fid's is with OpenAI's ViT-B/32.

    Protocol: clean-fid's, after Kynkaanniemi et al., arXiv 2203.06026.
    """

    figures = ("clip_fid",)
    network = Clip
    protocol = "clean-fid, clip_vit_b_32"

    class Params(ClipFolder, InNetwork.Params):
        type: Literal["clip_fid"] = "clip_fid"
