"""A loss weighting, a perceptual term and distillation from a guided teacher for pixelflow."""

from pixelflow import hookimpl
from pixelflow.core.component import Component


@hookimpl
def register_components() -> list[type[Component]]:
    from pixelflow_lessons.cosine import CosineWeighting
    from pixelflow_lessons.guided import GuidedTeacher
    from pixelflow_lessons.sharp import Sharp

    return [CosineWeighting, Sharp, GuidedTeacher]
