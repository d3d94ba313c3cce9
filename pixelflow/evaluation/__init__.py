"""Comparing generated images with data."""

from pixelflow.core.component import Component
from pixelflow.core.hookspecs import hookimpl


@hookimpl
def register_components() -> list[type[Component]]:
    from pixelflow.evaluation.adm_fid import AdmFid
    from pixelflow.evaluation.adm_inception import AdmInception
    from pixelflow.evaluation.adm_sfid import AdmSfid
    from pixelflow.evaluation.clean_fid import CleanFid
    from pixelflow.evaluation.clean_resized import CleanResized
    from pixelflow.evaluation.fid import Fid
    from pixelflow.evaluation.frechet import Frechet
    from pixelflow.evaluation.inception import InceptionPool
    from pixelflow.evaluation.inception_score import InceptionScore
    from pixelflow.evaluation.kid import Kid
    from pixelflow.evaluation.label_agreement import LabelAgreement
    from pixelflow.evaluation.pixels_pca import PixelsPca
    from pixelflow.evaluation.precision_recall import PrecisionRecall
    from pixelflow.evaluation.random_conv import RandomConv

    return [
        *(Frechet, CleanFid, Fid, Kid, AdmFid, AdmSfid, InceptionScore, PrecisionRecall, LabelAgreement),
        *(RandomConv, PixelsPca, CleanResized, InceptionPool, AdmInception),
    ]
