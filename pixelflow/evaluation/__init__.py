"""Comparing generated images with data."""

from pixelflow.core.component import Component
from pixelflow.core.hookspecs import hookimpl


@hookimpl
def register_components() -> list[type[Component]]:
    from pixelflow.evaluation.random_conv import RandomConv

    return [RandomConv]
