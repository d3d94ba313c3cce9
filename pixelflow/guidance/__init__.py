"""Guidance: how conditional and other velocities become the one that is integrated."""

from pixelflow.core.component import Component
from pixelflow.core.hookspecs import hookimpl


@hookimpl
def register_components() -> list[type[Component]]:
    from pixelflow.guidance.classifier_free import ConstantGuidance, NoGuidance, StagewiseGuidance

    return [NoGuidance, ConstantGuidance, StagewiseGuidance]
