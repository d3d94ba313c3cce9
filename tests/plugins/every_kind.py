"""A plugin with a component of every kind that a spec can name: the built-in ones under names of its own."""

from __future__ import annotations

from distributions import Site

SLOTS = {
    "data": ("dataset", "digits"),
    "cascade.down": ("downsampler", "bilinear"),
    "cascade.up": ("upsampler", "nearest"),
    "backbone": ("backbone", "dit"),
    "conditioners.0": ("conditioner", "class_label"),
    "objective.prediction": ("prediction", "velocity"),
    "objective.times": ("times", "uniform"),
    "sampling.sampler": ("sampler", "euler"),
    "sampling.grid": ("grid", "uniform"),
    "sampling.guidance": ("guidance", "constant"),
    "evaluation.metrics.0": ("metric", "frechet"),
    "evaluation.metrics.0.extractor": ("extractor", "pixels_pca"),
}
"""Key of a spec -> kind, and the built-in component that the plugin's is."""

CODE = """
from typing import Literal
from pixelflow import hookimpl

@hookimpl
def register_components():
    from pixelflow.core.registry import registry

    def own(kind, name):
        base = registry.of_kind(kind)[name].cls
        kept = {"__module__": __name__, "__annotations__": {"type": Literal["all." + name]}, "type": "all." + name}
        params = type("Params", (base.Params,), kept)
        return type("Own", (base,), {"__module__": __name__, "__doc__": base.__doc__, "Params": params})

    return [own(kind, name) for kind, name in %r]
"""


def add_every_kind(site: Site) -> None:
    """Add the plugin ``all``."""
    site.add("all", CODE % (list(SLOTS.values()),))


def choices() -> list[str]:
    """Overrides of the tiny spec by which every slot holds the plugin's component."""
    plain = {key: f"{key}=all.{name}" for key, (_, name) in SLOTS.items()}
    plain["conditioners.0"] = "conditioners=[{type: all.class_label, classes: 10}]"
    plain["evaluation.metrics.0"] = "evaluation.metrics=[{type: all.frechet, extractor: all.pixels_pca}]"
    plain.pop("evaluation.metrics.0.extractor")
    plain["backbone"] = "backbone={type: all.dit, depth: 2, heads: 2, head_dim: 16}"
    return list(plain.values())
