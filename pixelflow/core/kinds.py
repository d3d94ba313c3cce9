"""The one table of kinds: what there is to know of each, as data.

A new built-in kind is a row here, and what the row names: an interface, a slot in a spec, checks, a skeleton
(``cli/skeleton/<name>.py``) and a page (``docs/kinds/<name>.md``). A plugin's kind is a row that its hook
``register_kinds`` returns; its slot is a setting of one of the plugin's own components.

Code is referred to as ``module:name``, so that nothing is imported before it is needed.
"""

from __future__ import annotations

import difflib
import importlib
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

_PLACE = "NAME"
_PACKAGE = __name__.partition(".")[0]
"""``pixelflow``, or what a copy of it within another program is called."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of component."""

    name: str
    """As `Component.kind` and ``pixelflow components`` have it; a plugin's begins with the plugin's name and a dot."""
    title: str
    """What it is, in a few words."""
    interface: str
    """The class from which components of the kind are derived."""
    slot: str
    """How a spec chooses one, as an override: ``backbone=NAME``, ``training.trackers=[NAME]`` for several."""
    checks: tuple[str, ...] = ()
    """The promises that its components must keep: functions, or tuples of them; see `pixelflow.contracts`."""
    room: str = ""
    """The package that registers the built-in ones."""
    instead: str = ""
    """What to do where a kept spec's component is not installed, beside installing it."""
    command: str = field(default="train SPEC", repr=False)
    """The command that takes the slot."""
    page: str = ""
    """Address of a plugin's page on it; those of built-in kinds are in ``docs/kinds``."""
    skeleton: str = ""
    """Of a plugin's kind the module that ``pixelflow new-plugin`` copies: one component, which imports the rest."""

    @property
    def key(self) -> str:
        """The key of a spec that holds it."""
        return self.slot.partition("=")[0]

    @property
    def is_many(self) -> bool:
        """Whether the slot holds a list."""
        return self.slot.endswith("]")

    def choice(self, component: str) -> str:
        """The arguments of ``pixelflow`` that choose a component, quoted for a shell."""
        slot = self.slot.replace(_PLACE, component)
        return f"{self.command} {slot if slot.startswith('--') else shlex.quote(slot)}"


def _built_in(
    name: str, title: str, slot: str, room: str, checks: str, instead: str = "", command: str = "train SPEC"
) -> Kind:
    """A row of the table; the interface has the kind's name, and `checks` are names within `pixelflow.contracts`."""
    return Kind(
        name=name,
        title=title,
        interface=f"{_PACKAGE}.core.interfaces:{name.title()}",
        slot=slot,
        room=f"{_PACKAGE}.{room}",
        checks=tuple(f"{_PACKAGE}.contracts.{reference.replace('.', ':')}" for reference in checks.split()),
        instead=instead,
        command=command,
    )


_OTHER = "choose another, such as"
_METRICS = "choose others, such as evaluation.metrics=[frechet]"
_EXTRACTOR = "evaluation.metrics=[{type: frechet, extractor: NAME}]"
_UNTRACKED = "leave it out: training.trackers=[]"
_PROMPTED = 'sample RUN --prompt "a red circle"'
_DOWN, _UP = "operators.DOWN_CHECKS exact.down_is_exact", "operators.UP_CHECKS exact.up_is_exact"
_SAMPLER = "samplers.CHECKS exact.converges"

BUILT_IN = tuple(
    _built_in(*row)
    for row in (
        ("downsampler", "halves the resolution", "cascade.down=NAME", "operators", _DOWN),
        ("upsampler", "doubles it, and renoises", "cascade.up=NAME", "operators", _UP),
        ("backbone", "the network", "backbone=NAME", "backbones", "networks.BACKBONE_CHECKS"),
        ("conditioner", "labels and captions", "conditioners=[NAME]", "conditioners", "networks.CONDITIONER_CHECKS"),
        ("prediction", "what the network's output means", "objective.prediction=NAME", "objectives",
         "objectives.PREDICTION_CHECKS"),
        ("objective", "what the network is trained on", "objective=NAME", "objectives", "training.OBJECTIVE_CHECKS"),
        ("weighting", "how much the loss counts, by time", "objective.weighting=NAME", "objectives",
         "training.WEIGHTING_CHECKS"),
        ("term", "losses beside that on the velocity", "objective.terms=[NAME]", "objectives", "training.TERM_CHECKS"),
        ("times", "which times are trained", "objective.times=NAME", "objectives", "objectives.TIMES_CHECKS"),
        ("grid", "where a sampler evaluates", "sampling.grid=NAME", "samplers",
         "samplers.GRID_CHECKS", f"{_OTHER} --grid uniform"),
        ("sampler", "the solver", "sampling.sampler=NAME", "samplers", _SAMPLER, f"{_OTHER} --sampler heun"),
        ("guidance", "combines velocities", "sampling.guidance=NAME", "guidance",
         "guidance.CHECKS", f"{_OTHER} --guidance constant"),
        ("dataset", "where images come from", "data=NAME", "data", "data.DATASET_CHECKS"),
        ("extractor", "features for comparison", _EXTRACTOR, "metrics", "data.EXTRACTOR_CHECKS", _METRICS),
        ("metric", "figures of merit", "evaluation.metrics=[NAME]", "metrics", "data.METRIC_CHECKS", _METRICS),
        ("tracker", "where a run is watched", "training.trackers=[NAME]", "trackers", "trackers.CHECKS", _UNTRACKED),
        ("rewriter", "rewrites prompts", "--rewriter NAME", "rewriters", "rewriters.CHECKS", "", _PROMPTED),
    )
)  # fmt: skip
"""Name, title, slot, package, checks; then what stands in for one, and the command, where these need telling."""

_known = {kind.name: kind for kind in BUILT_IN}
_origins: dict[str, str] = {}
"""Name of a plugin's kind -> the plugin, as the registry names it."""


def known() -> dict[str, Kind]:
    """Name -> kind, the plugins' too once they are loaded."""
    return dict(_known)


def of_plugin(origin: str) -> list[Kind]:
    """The kinds that a plugin added."""
    return [_known[name] for name, own in _origins.items() if own == origin]


def add(kind: Kind, origin: str) -> None:
    """Register a plugin's kind; raises TypeError on what is no row, ValueError where the name is taken."""
    if not isinstance(kind, Kind):
        raise TypeError(f"{kind!r} is not a row of the table: make it by pixelflow.core.kinds.Kind")
    if _known.setdefault(kind.name, kind) is not kind:
        raise ValueError(f"there is a kind {kind.name!r} already")
    _origins[kind.name] = origin


def rooms() -> list[str]:
    """The packages that register built-in components, each once."""
    return list(dict.fromkeys(kind.room for kind in BUILT_IN))


def resolved(reference: str) -> Any:
    """The object that ``module:name`` refers to; raises ImportError or AttributeError where there is none."""
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)


def unknown(kind: str, names: Iterable[str]) -> str:
    """What to say of a kind that there is not."""
    names = sorted(names)
    near = difflib.get_close_matches(kind, names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"no kind of component is called {kind!r}{hint} (there are: {', '.join(names)})"
