"""What images are conditioned on. A run without any is unconditional."""

from pixelflow.core.component import Component
from pixelflow.core.hookspecs import hookimpl


@hookimpl
def register_components() -> list[type[Component]]:
    from pixelflow.conditioners.byte_text import ByteText
    from pixelflow.conditioners.class_label import ClassLabel
    from pixelflow.conditioners.clip_text import ClipText
    from pixelflow.conditioners.sentence import Sentence
    from pixelflow.conditioners.t5 import T5

    return [ClassLabel, ByteText, T5, ClipText, Sentence]
