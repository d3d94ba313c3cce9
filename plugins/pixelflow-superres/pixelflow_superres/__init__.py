"""Super-resolution for pixelflow: data with small copies of their images, and a conditioner that reads these."""

from pixelflow import hookimpl
from pixelflow.core.component import Component


@hookimpl
def register_components() -> list[type[Component]]:
    from pixelflow_superres.lowered import Lowered
    from pixelflow_superres.pixels import Pixels

    return [Lowered, Pixels]
