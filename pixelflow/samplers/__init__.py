"""Solvers and the grids that fixed-step ones walk on."""

from pixelflow.core.component import Component
from pixelflow.core.hookspecs import hookimpl


@hookimpl
def register_components() -> list[type[Component]]:
    from pixelflow.samplers.adams_bashforth2 import AdamsBashforth2
    from pixelflow.samplers.adaptive import AdaptiveHeun, Bosh3, Dopri8, Fehlberg2
    from pixelflow.samplers.dopri5 import Dopri5
    from pixelflow.samplers.dpmpp_2m import DPMSolverPP2M
    from pixelflow.samplers.euler import Euler
    from pixelflow.samplers.fitted import Fitted
    from pixelflow.samplers.grids import OfficialGrid, ShiftedGrid, UniformGrid
    from pixelflow.samplers.heun import Heun
    from pixelflow.samplers.jump import Jump
    from pixelflow.samplers.midpoint import Midpoint
    from pixelflow.samplers.rk4 import RK4
    from pixelflow.samplers.sde_euler import SDEEuler

    fixed = [Euler, Midpoint, Heun, RK4, AdamsBashforth2, DPMSolverPP2M, Fitted, SDEEuler, Jump]
    adaptive = [Dopri5, Dopri8, Bosh3, AdaptiveHeun, Fehlberg2]
    return [*fixed, *adaptive, UniformGrid, OfficialGrid, ShiftedGrid]
