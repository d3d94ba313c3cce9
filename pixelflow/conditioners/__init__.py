"""What images are conditioned on. A run without any is unconditional."""

from pixelflow.core.component import Component
from pixelflow.core.hookspecs import hookimpl


@hookimpl
def register_components() -> list[type[Component]]:
    from pixelflow.conditioners.class_label import ClassLabel

    return [ClassLabel]
