"""Comparing generated images with data."""

from pixelflow.core.component import Component
from pixelflow.core.hookspecs import hookimpl


@hookimpl
def register_components() -> list[type[Component]]:
    from pixelflow.evaluation.adm_fid import AdmFid
    from pixelflow.evaluation.adm_inception import AdmInception
    from pixelflow.evaluation.adm_sfid import AdmSfid
    from pixelflow.evaluation.classifier import ClassifierFeatures
    from pixelflow.evaluation.classifier_agreement import ClassifierAgreement
    from pixelflow.evaluation.clean_fid import CleanFid
    from pixelflow.evaluation.clean_resized import CleanResized
    from pixelflow.evaluation.clip import Clip
    from pixelflow.evaluation.clip_fid import ClipFid
    from pixelflow.evaluation.clip_score import ClipScore
    from pixelflow.evaluation.cmmd import Cmmd
    from pixelflow.evaluation.dinov2 import Dinov2
    from pixelflow.evaluation.fd_dinov2 import FdDinov2
    from pixelflow.evaluation.fid import Fid
    from pixelflow.evaluation.frechet import Frechet
    from pixelflow.evaluation.inception import InceptionPool
    from pixelflow.evaluation.inception_pytorch import PytorchInception
    from pixelflow.evaluation.inception_score import InceptionScore
    from pixelflow.evaluation.kid import Kid
    from pixelflow.evaluation.label_agreement import LabelAgreement
    from pixelflow.evaluation.pixels_pca import PixelsPca
    from pixelflow.evaluation.precision_recall import PrecisionRecall
    from pixelflow.evaluation.pytorch_fid import PytorchFid
    from pixelflow.evaluation.random_conv import RandomConv

    return [
        *(Frechet, CleanFid, Fid, PytorchFid, Kid, AdmFid, AdmSfid, InceptionScore, PrecisionRecall),
        *(ClipFid, ClipScore, Cmmd, FdDinov2, LabelAgreement, ClassifierAgreement),
        *(RandomConv, PixelsPca, ClassifierFeatures, CleanResized),
        *(InceptionPool, PytorchInception, AdmInception, Clip, Dinov2),
    ]
