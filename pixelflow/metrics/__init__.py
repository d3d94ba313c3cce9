"""Comparing generated images with data."""

from pixelflow.core.component import Component
from pixelflow.core.hookspecs import hookimpl


@hookimpl
def register_components() -> list[type[Component]]:
    from pixelflow.metrics.adm_inception import AdmInception
    from pixelflow.metrics.caption_retrieval import CaptionRetrieval
    from pixelflow.metrics.classifier import ClassifierFeatures
    from pixelflow.metrics.classifier_agreement import ClassifierAgreement
    from pixelflow.metrics.clean_fid import CleanFid
    from pixelflow.metrics.clean_resized import CleanResized
    from pixelflow.metrics.clip import Clip
    from pixelflow.metrics.clip_score import ClipScore
    from pixelflow.metrics.cmmd import Cmmd
    from pixelflow.metrics.dinov2 import Dinov2
    from pixelflow.metrics.efficientnet import EfficientNetLite0
    from pixelflow.metrics.fids import AdmFid, AdmSfid, ClipFid, FdDinov2, Fid, PytorchFid
    from pixelflow.metrics.frechet import Frechet
    from pixelflow.metrics.inception import InceptionPool
    from pixelflow.metrics.inception_pytorch import PytorchInception
    from pixelflow.metrics.inception_score import InceptionScore
    from pixelflow.metrics.kernel_distance import KernelDistance
    from pixelflow.metrics.kid import Kid
    from pixelflow.metrics.knn_precision_recall import KnnPrecisionRecall
    from pixelflow.metrics.label_agreement import LabelAgreement
    from pixelflow.metrics.pixels_pca import PixelsPca
    from pixelflow.metrics.precision_recall import PrecisionRecall
    from pixelflow.metrics.random_conv import RandomConv

    return [
        *(Frechet, KernelDistance, KnnPrecisionRecall),
        *(CleanFid, Fid, PytorchFid, Kid, AdmFid, AdmSfid, InceptionScore, PrecisionRecall),
        *(ClipFid, ClipScore, Cmmd, FdDinov2, LabelAgreement, ClassifierAgreement, CaptionRetrieval),
        *(RandomConv, PixelsPca, EfficientNetLite0, ClassifierFeatures, CleanResized),
        *(InceptionPool, PytorchInception, AdmInception, Clip, Dinov2),
    ]
