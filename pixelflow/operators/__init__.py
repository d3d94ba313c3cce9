"""Down- and upsampling operators; each file owns apply, gain and renoising."""

from pixelflow.core.component import Component
from pixelflow.core.hookspecs import hookimpl


@hookimpl
def register_components() -> list[type[Component]]:
    from pixelflow.operators.bilinear import BilinearDown, BilinearUp
    from pixelflow.operators.nearest import NearestDown, NearestUp

    return [BilinearDown, NearestDown, NearestUp, BilinearUp]
