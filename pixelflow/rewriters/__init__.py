"""Rewriting prompts before images are drawn from them."""

from pixelflow.core.component import Component
from pixelflow.core.hookspecs import hookimpl


@hookimpl
def register_components() -> list[type[Component]]:
    from pixelflow.rewriters.instruct import Instruct
    from pixelflow.rewriters.mapping import Mapping

    return [Mapping, Instruct]
