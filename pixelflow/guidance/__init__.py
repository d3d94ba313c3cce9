"""Guidance: how conditional and other velocities become the one that is integrated."""

from pixelflow.core.component import Component
from pixelflow.core.hookspecs import hookimpl


@hookimpl
def register_components() -> list[type[Component]]:
    from pixelflow.guidance.apg import APG
    from pixelflow.guidance.autoguidance import Autoguidance
    from pixelflow.guidance.cfg_zero_star import CFGZeroStar
    from pixelflow.guidance.classifier_free import ConstantGuidance, NoGuidance, StagewiseGuidance
    from pixelflow.guidance.interval import IntervalGuidance
    from pixelflow.guidance.reused import ReusedGuidance

    guided = [ConstantGuidance, StagewiseGuidance, APG, CFGZeroStar, Autoguidance]
    return [NoGuidance, *guided, IntervalGuidance, ReusedGuidance]
