"""The kinds of components and what each promises, with shapes in einops words.

Images are (b c h w) in [-1, 1]. ``tau`` in [0, 1] is the time inside a stage; ``time`` in [0, 1000) is the time
that the network sees (see `pixelflow.core.schedule`).
"""

from pixelflow.core.interfaces.data import BadSample, Dataset, Rewriter, Survey
from pixelflow.core.interfaces.measuring import Array, Comparison, Extractor, ImageBatch, ImageSource, Metric
from pixelflow.core.interfaces.network import Backbone, Conditioner, Cost, Prediction, Times
from pixelflow.core.interfaces.operators import Downsampler, Upsampler
from pixelflow.core.interfaces.sampling import Branches, Field, Grid, Guidance, NoiseSource, Sampler, Velocity
from pixelflow.core.interfaces.tracking import Tracker
from pixelflow.core.interfaces.training import Network, Objective, Term, Weighting
from pixelflow.core.query import Output, Query
from pixelflow.core.sample import Sample
from pixelflow.core.work import Answer, StageGroup, Work

__all__ = [
    "Answer",
    "Array",
    "Backbone",
    "BadSample",
    "Branches",
    "Comparison",
    "Conditioner",
    "Cost",
    "Dataset",
    "Downsampler",
    "Extractor",
    "Field",
    "Grid",
    "Guidance",
    "ImageBatch",
    "ImageSource",
    "Metric",
    "Network",
    "NoiseSource",
    "Objective",
    "Output",
    "Prediction",
    "Query",
    "Rewriter",
    "Sample",
    "Sampler",
    "StageGroup",
    "Survey",
    "Term",
    "Times",
    "Tracker",
    "Upsampler",
    "Velocity",
    "Weighting",
    "Work",
]
