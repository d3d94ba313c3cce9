"""Sampling settings for one generation: the run's own with some of them changed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from pixelflow.core import absent, reading
from pixelflow.core.component import ComponentParams
from pixelflow.core.interfaces import Guidance
from pixelflow.core.plugin_use import codes
from pixelflow.core.sizes import Size
from pixelflow.core.slots import params_of
from pixelflow.core.spec import ExperimentSpec, SamplingSpec
from pixelflow.system.errors import UsageError


def changed_sampling(
    spec: ExperimentSpec, changes: Mapping[str, object], overrides: Sequence[str] = (), source: str = "the run's spec"
) -> SamplingSpec:
    """The spec's sampling settings with changes, validated against the whole spec.

    Args:
        changes: key of `SamplingSpec` -> number, list, a component's name, block or Params; None changes nothing.
            A number for ``guidance`` is the scale of the run's own guidance, or a constant one where it has none;
            a list of numbers holds the weight of each stage.
        overrides: ``key=value`` within the sampling block, with or without ``sampling.`` before it; applied last.

    Raises:
        SpecError: a line for every value that does not fit.
        UsageError: a key of another block.
    """
    assignments = [whole_key(text) for text in overrides]
    for text in assignments:
        if not text.startswith("sampling."):
            raise UsageError(f"{text}: here only sampling.* can be changed, e.g. sampling.steps=10, or only steps=10")
    document = reading.Document(source, spec.model_dump(mode="json"))
    sampling = document.data["sampling"]
    for key, value in changes.items():
        if value is not None:
            sampling[key] = _guidance(sampling[key], value) if key == "guidance" else _changed(sampling[key], value)
            document.overridden["sampling", key] = f"override {f'{key}={value}'!r}"
    if assignments:
        document = reading.override(document, assignments)
    with absent.allowed(absent.among(spec)):
        return reading.validate(ExperimentSpec, document).sampling


def whole_key(assignment: str) -> str:
    """``steps=10`` as ``sampling.steps=10``: settings of sampling may be given without their block's name."""
    block = re.split(r"[.=]", assignment.strip(), maxsplit=1)[0]
    return assignment.strip() if block in ExperimentSpec.model_fields else f"sampling.{assignment.strip()}"


def code_behind(spec: ExperimentSpec, sampling: SamplingSpec) -> dict[str, dict[str, str]]:
    """The code of the plugins that decide on images, for the recipe that these are kept by; {} without any."""
    return codes(spec.cascade, spec.backbone, spec.conditioners, spec.prediction, sampling)


def read_size(text: str) -> Size:
    """``384x256``, width x height as pictures are usually given, or one number for a square, to (height, width).

    Raises:
        UsageError: it is written otherwise.
    """
    found = re.fullmatch(r"([0-9]{1,5})(?:x([0-9]{1,5}))?", text.strip().lower())
    if found is None:
        raise UsageError(f"the size {text!r} must be WIDTHxHEIGHT in pixels, such as 384x256, or one number")
    return int(found[2] or found[1]), int(found[1])


def checked_size(spec: ExperimentSpec, size: Size) -> Size:
    """The same height and width; raises UsageError, naming the nearest that can, if they cannot be cut into patches."""
    try:
        spec.check_size(size)
    except ValueError as error:
        raise UsageError(str(error)) from None
    return size


def check_negatives(sampling: SamplingSpec) -> None:
    """Raise UsageError if there are negative prompts and no guidance that could lead away from them."""
    guidance = sampling.guidance.build()
    if not guidance.uses_null:
        raise UsageError(
            f"a negative prompt does nothing without guidance, and {_described(guidance)} leads away from no caption; "
            "give a scale other than 1, e.g. guidance 3"
        )


def check_weak(sampling: SamplingSpec) -> None:
    """Raise UsageError if a weaker run is given and the guidance makes no use of it."""
    guidance = sampling.guidance.build()
    if not guidance.uses_weak:
        raise UsageError(
            f"{_described(guidance)} makes no use of a weaker run; 'autoguidance' with a scale other than 1 does"
        )


def _described(guidance: Guidance) -> str:
    """``guidance 'constant' of scale 1``."""
    scale = guidance.params.model_dump().get("scale")
    return f"guidance '{guidance.type_name()}'" + ("" if scale is None else f" of scale {scale:g}")


def _guidance(own: Mapping[str, object], value: object) -> object:
    if _is_number(value):
        return {**own, "scale": value} if "scale" in own else {"type": "constant", "scale": value}
    if isinstance(value, (list, tuple)) and value and all(map(_is_number, value)):
        return {"type": "stagewise", "scale": 2.0, "shares": [weight - 1 for weight in value]}
    return _changed(own, value)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _changed(own: object, value: object) -> object:
    """Plain data, as YAML would give them; naming the component that is there already keeps its settings."""
    if isinstance(value, str):
        return own if isinstance(own, dict) and own["type"] == value else value
    try:
        value = params_of(value)
    except (TypeError, ValueError):
        return value  # which the slot refuses, and says why
    if isinstance(value, ComponentParams):
        return value.model_dump(mode="json")
    return list(value) if isinstance(value, Sequence) else value
