"""Networks that predict the velocity."""

from pixelflow.core.component import Component
from pixelflow.core.hookspecs import hookimpl


@hookimpl
def register_components() -> list[type[Component]]:
    from pixelflow.backbones.dit import DiT
    from pixelflow.backbones.hourglass import Hourglass
    from pixelflow.backbones.jit import JiT
    from pixelflow.backbones.mmdit import MMDiT

    return [DiT, Hourglass, MMDiT, JiT]
