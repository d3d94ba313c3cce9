"""Starting from another run's weights (``training.init_from``): what fits is taken over, the rest starts fresh.

Progressive training as in PixelFlow (arXiv 2504.07963) section 4.3: text from a class model, then more stages.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from torch import Tensor

from pixelflow.core.classes import places, shown
from pixelflow.core.component import ComponentParams
from pixelflow.core.fields import LABEL
from pixelflow.core.interfaces import Backbone, Conditioner
from pixelflow.core.model import FlowModel
from pixelflow.core.spec import ExperimentSpec
from pixelflow.core.training_settings import InitSpec
from pixelflow.generation.orders import WeightsSource
from pixelflow.generation.run import Run
from pixelflow.runs import checkpoint
from pixelflow.runs.runfolder import RunFolder
from pixelflow.system.errors import MissingInputError, UsageError
from pixelflow.system.records import FileKind

INHERITED = FileKind("what a run took from another", "nothing needs it, remove it")


@dataclass(frozen=True)
class Weight:
    """A tensor, without its numbers."""

    shape: tuple[int, ...]
    start: Literal["zero", "one", "random"]
    """What it holds, where it is fresh."""

    @classmethod
    def of(cls, tensor: Tensor) -> Weight:
        is_one = bool((tensor == 1).all())
        return cls(tuple(tensor.shape), "one" if is_one else "random" if tensor.any() else "zero")


@dataclass(frozen=True)
class InheritedClasses:
    """Classes whose weights were taken over by name, or by number from a run without names."""

    taken: tuple[str, ...]
    new: tuple[str, ...]
    left_out: tuple[str, ...]
    """Those of the other run that are not here."""
    by_number: bool

    @property
    def told(self) -> str:
        """For people."""
        how = "by number, for the other run has no names for them" if self.by_number else "by name"
        parts = [f"{len(self.taken)} taken over {how}" if self.taken else "none taken over"]
        parts += [f"new: {shown(self.new)}"] if self.new else []
        return "; ".join(parts + ([f"left out: {shown(self.left_out)}"] if self.left_out else []))


@dataclass(frozen=True)
class Inherited:
    """What a model took from another run."""

    source: WeightsSource
    taken: dict[str, Weight]
    fresh: dict[str, Weight]
    """As a run without ``init_from`` would start with them."""
    left: dict[str, Weight]
    """The other run's weights, by its own names, for which there was no place."""
    classes: InheritedClasses | None = None
    """Whose weights were taken over, where a conditioner takes labels and these count other classes there."""

    def lines(self) -> Iterator[str]:
        """The report for people: a line a group."""
        source, numbers = self.source, sum(math.prod(weight.shape) for weight in self.taken.values())
        yield f"starts from {source.run} step {source.step} ({source.weights}, sha256 {source.sha256[:12]})"
        yield f"  taken over: {len(self.taken)} tensors, {numbers:,} numbers"
        for group, names in _groups(self.fresh).items():
            yield f"  new: {group} ({_tensors(names)}; {_starts(names, self.fresh)})"
        for group, names in _groups(self.left).items():
            yield f"  left out: {group} ({_tensors(names)})"
        if self.classes is not None:
            yield f"  classes: {self.classes.told}"

    def write(self, path: Path) -> None:
        """Write the whole list as JSON; raises CannotWriteError."""
        body = {
            "source": self.source.model_dump(mode="json"),
            "taken": list(self.taken),
            "new": {name: asdict(weight) for name, weight in self.fresh.items()},
            "left_out": {name: weight.shape for name, weight in self.left.items()},
            "classes": None if self.classes is None else asdict(self.classes),
        }
        INHERITED.write(path, body)


def check(spec: ExperimentSpec) -> None:
    """See that the run to start from is there and of the same architecture, before anything is made.

    Raises:
        MissingInputError: there is no such run, or it has no checkpoint.
        UsageError: its backbone is another one.
    """
    if spec.training.init_from is None:
        return
    folder = RunFolder(spec.training.init_from.run)
    if not checkpoint.steps(folder.checkpoints):
        raise MissingInputError(f"{folder.path}: holds no checkpoint to start from; train it first")
    former = folder.read_spec(to_draw=True)
    changed = _differences(former.backbone, spec.backbone)
    if former.image.channels != spec.image.channels:
        changed.append(f"image.channels {former.image.channels} there, {spec.image.channels} here")
    if changed:
        raise UsageError(
            f"training.init_from: {folder.path} has another architecture ({'; '.join(changed)}); "
            "its weights mean nothing in this one: set the same, or start from another run"
        )


def former_run(init: InitSpec) -> Run:
    """The run to start from, on the CPU; raises what `Run.open` raises."""
    return Run.open(init.run, step=init.step, weights=init.weights, device="cpu")


def inherit(model: FlowModel, spec: ExperimentSpec, former: Run, classes: Sequence[str]) -> Inherited:
    """Copy what fits into a fresh model. A part (a layer of a block, a table) is taken whole or not at all.

    Of a part that takes labels, the weights of a class go to the class of its name.

    Args:
        classes: names of the labels here.
    """
    own, theirs, partners = model.state_dict(), former.model.state_dict(), _partners(former.spec, spec)
    found = {_renamed(name, partners): name for name in theirs}
    rows, known = _rows(former, classes)
    moved = {} if known is None else _by_class(model, theirs, partners, rows)
    fitting = {name: theirs[there] for name, there in found.items()} | moved
    unfit = {_part(name) for name in own if (tensor := fitting.get(name)) is None or tensor.shape != own[name].shape}
    names = {name: found[name] for name in own if _part(name) not in unfit}
    inherited = Inherited(
        former.source,
        taken={name: Weight.of(own[name]) for name in names},
        fresh={name: Weight.of(tensor) for name, tensor in own.items() if name not in names},
        left={name: Weight.of(tensor) for name, tensor in theirs.items() if name not in names.values()},
        classes=known if moved else None,
    )
    model.load_state_dict({name: fitting[name] for name in names}, strict=False)
    return inherited


def _rows(former: Run, classes: Sequence[str]) -> tuple[tuple[int | None, ...], InheritedClasses | None]:
    """The former run's label of each class here, and a report; no report where all are the same."""
    count, by_number = len(former.labels), not former.classes
    if former.classes == tuple(classes):
        return tuple(range(count)), None
    others = tuple(classes) if by_number and count == len(classes) else former.classes
    rows = places(classes, others)
    taken = [name for name, row in zip(classes, rows, strict=True) if row is not None]
    new = [name for name, row in zip(classes, rows, strict=True) if row is None]
    left_out = [name for name, here in zip(others, places(others, classes), strict=True) if here is None]
    return rows, InheritedClasses(tuple(taken), tuple(new), tuple(left_out), by_number)


def _by_class(
    model: FlowModel, theirs: Mapping[str, Tensor], partners: Mapping[str, str], rows: Sequence[int | None]
) -> dict[str, Tensor | None]:
    """The weights of parts that take labels, by their names here, for the classes here; None for what starts fresh."""
    moved: dict[str, Tensor | None] = {}
    for index, conditioner in enumerate(model.conditioners):
        place = f"conditioners.{index}."
        there = next((there for there, here in partners.items() if here == place), None)
        if conditioner.reads == LABEL.name and there is not None:
            weights = {name.removeprefix(there): tensor for name, tensor in theirs.items() if name.startswith(there)}
            found = conditioner.for_classes(weights, rows) or {}
            moved |= {f"{place}{name}": found.get(name) for name in conditioner.state_dict()}
    return moved


def _differences(there: ComponentParams, here: ComponentParams) -> list[str]:
    """Settings in which two components differ, and must not if one is to take the other's weights over."""
    if there.component is not here.component:
        return [f"{there.component.type_name()} there, {here.component.type_name()} here"]
    assert issubclass(there.component, (Backbone, Conditioner))
    old, new = there.model_dump(mode="json"), here.model_dump(mode="json")
    changed = [key for key in old if old[key] != new[key] and key not in there.component.may_differ]
    return [f"{key} {old[key]} there, {new[key]} here" for key in changed]


def _partners(former: ExperimentSpec, spec: ExperimentSpec) -> dict[str, str]:
    """Conditioners of the former run -> those here that take their weights over: the first of equal settings."""
    free = dict(enumerate(spec.conditioners))
    partners = {}
    for index, there in enumerate(former.conditioners):
        found = next((own for own, here in free.items() if not _differences(there, here)), None)
        partners[f"conditioners.{index}."] = "-" if found is None else f"conditioners.{found}."
        free.pop(-1 if found is None else found, None)
    return partners


def _renamed(name: str, partners: Mapping[str, str]) -> str:
    """A weight's name here; of a conditioner that is not here, one that nothing has."""
    for there, here in partners.items():
        if name.startswith(there):
            return here + name.removeprefix(there)
    return name


def _part(name: str) -> str:
    """The part that a weight belongs to: its path up to the module below the last number, else below the root."""
    modules = name.split(".")[:-1]
    last = max((place for place, module in enumerate(modules) if module.isdigit()), default=0)
    return ".".join(modules[: last + 2])


def _groups(names: Iterable[str]) -> dict[str, list[str]]:
    """Names by part; parts that differ in numbers alone go together, under a star."""
    alike: dict[str, list[str]] = defaultdict(list)
    for name in names:
        alike[".".join("*" if module.isdigit() else module for module in _part(name).split("."))].append(name)
    titled = {}
    for pattern, members in alike.items():
        parts = {_part(name) for name in members}
        titled[pattern if len(parts) > 1 else parts.pop()] = members
    return titled


def _tensors(names: list[str]) -> str:
    return f"{len(names)} tensor{'s' * (len(names) > 1)}"


def _starts(names: list[str], weights: Mapping[str, Weight]) -> str:
    """How the weights of a group start: ``zero: out.weight, out.bias; random: q.weight``."""
    by_start: dict[str, dict[str, None]] = defaultdict(dict)
    for name in names:
        by_start[weights[name].start][name.removeprefix(_part(name)).removeprefix(".")] = None
    return "; ".join(f"{start}: {', '.join(inner)}" for start, inner in sorted(by_start.items()))
