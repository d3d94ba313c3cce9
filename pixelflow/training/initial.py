"""Starting from another run's weights (``training.init_from``): what fits is taken over, the rest starts fresh.

Progressive training as in PixelFlow (arXiv 2504.07963) section 4.3: text from a class model, then more stages.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from torch import Tensor

from pixelflow.core import checkpoint
from pixelflow.core.component import ComponentParams
from pixelflow.core.errors import MissingInputError, UsageError
from pixelflow.core.files import write_text
from pixelflow.core.interfaces import Backbone, Conditioner
from pixelflow.core.model import FlowModel
from pixelflow.core.runfolder import RunFolder
from pixelflow.core.spec import ExperimentSpec, InitSpec
from pixelflow.generation.orders import Source
from pixelflow.run import Run


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
class Inherited:
    """What a model took from another run."""

    source: Source
    taken: dict[str, Weight]
    fresh: dict[str, Weight]
    """As a run without ``init_from`` would start with them."""
    left: dict[str, Weight]
    """The other run's weights, by its own names, for which there was no place."""

    def lines(self) -> Iterator[str]:
        """The report for people: a line a group."""
        source, numbers = self.source, sum(math.prod(weight.shape) for weight in self.taken.values())
        yield f"starts from {source.run} step {source.step} ({source.weights}, sha256 {source.sha256[:12]})"
        yield f"  taken over: {len(self.taken)} tensors, {numbers:,} numbers"
        for group, names in _groups(self.fresh).items():
            yield f"  new: {group} ({_tensors(names)}; {_starts(names, self.fresh)})"
        for group, names in _groups(self.left).items():
            yield f"  left out: {group} ({_tensors(names)})"

    def write(self, path: Path) -> None:
        """Write the whole list as JSON; raises CannotWriteError."""
        body = {
            "source": self.source.model_dump(mode="json"),
            "taken": list(self.taken),
            "new": {name: asdict(weight) for name, weight in self.fresh.items()},
            "left_out": {name: weight.shape for name, weight in self.left.items()},
        }
        write_text(path, json.dumps(body, indent=1) + "\n")


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
    former = folder.read_spec()
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


def inherit(model: FlowModel, spec: ExperimentSpec, former: Run) -> Inherited:
    """Copy what fits into a fresh model. A part (a layer of a block, a table) is taken whole or not at all."""
    own, theirs, partners = model.state_dict(), former.model.state_dict(), _partners(former.spec, spec)
    found = {_renamed(name, partners): name for name in theirs}
    unfit = {_part(name) for name in own if name not in found or theirs[found[name]].shape != own[name].shape}
    names = {name: found[name] for name in own if _part(name) not in unfit}
    inherited = Inherited(
        former.source,
        taken={name: Weight.of(own[name]) for name in names},
        fresh={name: Weight.of(tensor) for name, tensor in own.items() if name not in names},
        left={name: Weight.of(tensor) for name, tensor in theirs.items() if name not in names.values()},
    )
    model.load_state_dict({name: theirs[there] for name, there in names.items()}, strict=False)
    return inherited


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
