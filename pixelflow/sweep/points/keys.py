"""Names of trainings and cells, made of every setting that decides on what they find.

A setting with the value that ``defaults.json`` holds for it is left out of the name, so that a new version with more
settings finds what an older one has done. The file only ever grows. A default that changes stays in it as it was: from
then on the new value is part of names, and results under the former value keep theirs; unless both give the same
results, as CUDA graphs do, and the file takes the new one. A component whose results change with equal settings says
so by its ``revision``, which is part of names. Components of plugins are not in the file; all of their settings count,
and so does the code of the plugin: what another version of it found is not this one's. The objective has a row with its
``type``, which specs once did not have. A setting that was renamed keeps its first name, here and in the file.
"""

from __future__ import annotations

import functools
import hashlib
import json
from fnmatch import fnmatchcase
from pathlib import Path

from pixelflow.core.absent import Absent
from pixelflow.core.component import ComponentParams, Settings
from pixelflow.core.former_keys import first_name
from pixelflow.core.plugin_use import owner
from pixelflow.core.plugins import code_of
from pixelflow.core.spec import ExperimentSpec
from pixelflow.training.session import CHANGEABLE, COURSE

DEFAULTS = Path(__file__).with_name("defaults.json")
"""Block or component -> setting -> the value that it has where a name does not tell."""
_DIGITS = 12
_NOT_OF_TRAINING = frozenset({"name", *CHANGEABLE} - set(COURSE))
"""Keys, or their patterns, without influence on the trained weights."""


def training_key(spec: ExperimentSpec) -> str:
    """A name for everything that decides on the trained weights."""
    return _digest(telling(spec, _NOT_OF_TRAINING))


def run_key(weights_sha256: str) -> str:
    """A name for weights that no sweep trained, wherever they lie."""
    return _digest(["run", weights_sha256])


def cell_key(spec: ExperimentSpec, training: str | None = None) -> str:
    """A name for everything that decides on what an evaluation finds; `training` names the weights."""
    return _digest([training or training_key(spec), telling(spec.sampling), telling(spec.evaluation)])


def telling(value: object, ignored: frozenset[str] = frozenset(), place: str = "") -> object:
    """A value of a spec as JSON, blocks without the settings that are ignored or as `DEFAULTS` has them."""
    if isinstance(value, (list, tuple)):
        return [telling(one, ignored, f"{place}{index}.") for index, one in enumerate(value)]
    if not isinstance(value, Settings):
        return value
    plain = value.model_dump(mode="json")
    if isinstance(value, Absent):
        return plain
    told = {}
    for name in type(value).model_fields:
        own = getattr(value, name)
        if not _is_ignored(f"{place}{name}", ignored):
            told[first_name(type(value), name)] = (
                telling(own, ignored, f"{place}{name}.") if _holds_settings(own) else plain[name]
            )
    usual = defaults().get(title(type(value)), {})
    plugin = owner(value) if isinstance(value, ComponentParams) else None
    if plugin is not None:
        told["plugin"] = code_of(plugin)
    if isinstance(value, ComponentParams) and value.component.revision > 1:
        told["revision"] = value.component.revision
    return {name: one for name, one in told.items() if name not in usual or one != usual[name]}


def title(block: type[Settings]) -> str:
    """What `DEFAULTS` calls a block: ``TrainingSpec``, ``backbone dit``."""
    if issubclass(block, ComponentParams):
        return f"{block.component.kind} {block.component.type_name()}"
    return block.__name__


@functools.cache
def _is_ignored(key: str, ignored: frozenset[str]) -> bool:
    return any(fnmatchcase(key, pattern) for pattern in ignored)


def _holds_settings(value: object) -> bool:
    return isinstance(value, Settings) or (isinstance(value, (list, tuple)) and any(map(_holds_settings, value)))


@functools.cache
def defaults() -> dict[str, dict[str, object]]:
    """What `DEFAULTS` holds."""
    found: dict[str, dict[str, object]] = json.loads(DEFAULTS.read_text("utf-8"))
    return found


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:_DIGITS]
