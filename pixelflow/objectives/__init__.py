"""What the network is trained to predict, and on which times."""

from pixelflow.core.component import Component
from pixelflow.core.hookspecs import hookimpl


@hookimpl
def register_components() -> list[type[Component]]:
    from pixelflow.objectives.clean import CleanPrediction
    from pixelflow.objectives.logit_normal_times import LogitNormalTimes
    from pixelflow.objectives.official_times import OfficialTimes
    from pixelflow.objectives.uniform_times import UniformTimes
    from pixelflow.objectives.velocity import VelocityPrediction

    return [VelocityPrediction, CleanPrediction, UniformTimes, LogitNormalTimes, OfficialTimes]
