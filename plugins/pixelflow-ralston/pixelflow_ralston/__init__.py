"""Third-order Runge-Kutta methods as a sampler for pixelflow."""

from pixelflow import hookimpl
from pixelflow.core.component import Component


@hookimpl
def register_components() -> list[type[Component]]:
    from pixelflow_ralston.rk3 import RungeKutta3

    return [RungeKutta3]
