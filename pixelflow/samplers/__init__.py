"""Solvers and the grids that fixed-step ones walk on."""

from pixelflow.core.component import Component
from pixelflow.core.hookspecs import hookimpl


@hookimpl
def register_components() -> list[type[Component]]:
    from pixelflow.samplers.dopri5 import Dopri5
    from pixelflow.samplers.euler import Euler
    from pixelflow.samplers.grids import OfficialGrid, UniformGrid

    return [Euler, Dopri5, UniformGrid, OfficialGrid]
