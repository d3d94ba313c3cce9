"""Comparing generated images with data."""

from pixelflow.core.component import Component
from pixelflow.core.hookspecs import hookimpl


@hookimpl
def register_components() -> list[type[Component]]:
    from pixelflow.evaluation.frechet import Frechet
    from pixelflow.evaluation.label_agreement import LabelAgreement
    from pixelflow.evaluation.pixels_pca import PixelsPca
    from pixelflow.evaluation.random_conv import RandomConv

    return [Frechet, LabelAgreement, RandomConv, PixelsPca]
