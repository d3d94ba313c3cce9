"""Four-point subdivision as an upsampler for pixelflow."""

from pixelflow import hookimpl
from pixelflow.core.component import Component


@hookimpl
def register_components() -> list[type[Component]]:
    from pixelflow_fourpoint.dual import DualFourPoint

    return [DualFourPoint]
