"""Down- and upsampling operators; each file owns apply, gain and renoising."""

from pixelflow.core.component import Component
from pixelflow.core.hookspecs import hookimpl


@hookimpl
def register_components() -> list[type[Component]]:
    from pixelflow.operators.area import AreaDown
    from pixelflow.operators.bicubic import BicubicDown, BicubicUp
    from pixelflow.operators.bilinear import BilinearDown, BilinearUp
    from pixelflow.operators.haar import HaarDown, HaarUp
    from pixelflow.operators.lanczos import LanczosDown, LanczosUp
    from pixelflow.operators.nearest import NearestDown, NearestUp

    down = [BilinearDown, NearestDown, BicubicDown, AreaDown, LanczosDown, HaarDown]
    up = [NearestUp, BilinearUp, BicubicUp, LanczosUp, HaarUp]
    return [*down, *up]
