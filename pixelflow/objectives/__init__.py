"""What the network is trained on: objectives, predictions, times, weightings and terms."""

from pixelflow.core.component import Component
from pixelflow.core.hookspecs import hookimpl


@hookimpl
def register_components() -> list[type[Component]]:
    from pixelflow.objectives.alignment import Alignment
    from pixelflow.objectives.by_stage import PredictionByStage
    from pixelflow.objectives.clean import CleanPrediction
    from pixelflow.objectives.flow_matching import FlowMatching
    from pixelflow.objectives.logit_normal_times import LogitNormalTimes
    from pixelflow.objectives.min_snr import MinSnr
    from pixelflow.objectives.no_weighting import NoWeighting
    from pixelflow.objectives.official_times import OfficialTimes
    from pixelflow.objectives.perceptual import Perceptual
    from pixelflow.objectives.shortcut import Shortcut
    from pixelflow.objectives.sigmoid_weighting import SigmoidWeighting
    from pixelflow.objectives.soft_min_snr import SoftMinSnr
    from pixelflow.objectives.stage_weighting import StageWeighting
    from pixelflow.objectives.uniform_times import UniformTimes
    from pixelflow.objectives.velocity import VelocityPrediction

    predictions = [VelocityPrediction, CleanPrediction, PredictionByStage]
    times = [UniformTimes, LogitNormalTimes, OfficialTimes]
    weightings = [NoWeighting, MinSnr, SoftMinSnr, SigmoidWeighting, StageWeighting]
    return [*predictions, *times, *weightings, Perceptual, Alignment, FlowMatching, Shortcut]
