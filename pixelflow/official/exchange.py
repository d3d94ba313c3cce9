"""A folder as the authors publish it to a run of ours, and back."""

from __future__ import annotations

import shutil
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pixelflow.backbones.dit import DiT
from pixelflow.core.assembly import build_network
from pixelflow.core.spec import ExperimentSpec
from pixelflow.official.archive import Archive, StoredTensor, state_dicts
from pixelflow.official.config import class_count, config_text, read_config, spec_of, text_channels
from pixelflow.official.weights import Shape, Table, from_official, misfits, name_table, to_official
from pixelflow.runs import checkpoint
from pixelflow.runs.runfolder import RunFolder
from pixelflow.runs.stored import stored
from pixelflow.system.errors import CannotWriteError, DataError, MissingInputError
from pixelflow.system.files import draft_of, write_text, writing

CONFIG = "config.yaml"
WEIGHTS = "model.pt"


@dataclass(frozen=True)
class Exchanged:
    """What an import or export carried over."""

    path: Path
    weights: int
    """Tensors, under the release's names."""
    parameters: int
    """Numbers in them."""


def import_release(source: Path, target: Path, size: int | None = None) -> Exchanged:
    """Write the run `target` from a published folder: ``config.yaml`` and ``model.pt``.

    The weights file is a bare state dict or the release's training checkpoint; of it only tensors are read. They
    are stored in float32.

    Args:
        size: side of the images that the run makes; see `spec_of`.

    Raises:
        MissingInputError: there is no such folder, config or weights file.
        SpecError: the config is not one of this model.
        DataError: the weights file is damaged or hostile, does not fit the config, or holds numbers that are not
            finite; a line for every weight.
        CannotWriteError: the target is there already, or the system refuses.
    """
    if not source.is_dir():
        raise MissingInputError(f"{source}: there is no such folder")
    spec = spec_of(read_config(source / CONFIG), target.name, size)
    archive = Archive(_weights_file(source))
    states, table = state_dicts(archive), _table(spec)
    for state in states.values():
        _check_fits(archive.path, state, _shapes(spec, table))
    run = RunFolder.create(target, spec, classes=())  # the release numbers its classes and does not name them
    try:
        tensors = {part: from_official(_finite(archive, state), table) for part, state in states.items()}
        checkpoint.save(run.checkpoints, 0, tensors, {"imported_from": archive.path.name}, keep=1)
    except BaseException:
        shutil.rmtree(run.path)
        raise
    (first, *_) = tensors.values()
    return Exchanged(run.path, len(next(iter(states.values()))), sum(tensor.numel() for tensor in first.values()))


def export_release(run: RunFolder, target: Path, *, step: int | None = None, weights: str = "ema") -> Exchanged:
    """Write a run as the authors publish their models; the inverse of `import_release`.

    Raises:
        UsageError: the release's code has no such model.
        MissingInputError: the run has no such checkpoint.
        DataError: the checkpoint is damaged.
        CannotWriteError: the target is there already, or the system refuses.
    """
    spec = run.read_spec(to_draw=True)
    config = config_text(spec)
    tensors = stored(run, step, weights).tensors
    if target.exists():
        raise CannotWriteError(f"{target}: is there already; choose another name or remove it")
    state = to_official(tensors, _table(spec), spec.patches[0])
    draft = draft_of(target)
    with writing(target):
        draft.mkdir(parents=True)
        try:
            write_text(draft / CONFIG, config)
            torch.save(OrderedDict(state), draft / WEIGHTS)
            draft.rename(target)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
    return Exchanged(target, len(state), sum(tensor.numel() for tensor in state.values()))


def _weights_file(source: Path) -> Path:
    """``model.pt``, or the only ``*.pt`` in the folder (training checkpoints carry their step in the name)."""
    if (source / WEIGHTS).exists():
        return source / WEIGHTS
    others = sorted(source.glob("*.pt"))
    if len(others) != 1:
        found = ", ".join(path.name for path in others) or "no .pt file"
        raise MissingInputError(f"{source}: holds no {WEIGHTS} (there is {found})")
    return others[0]


def _table(spec: ExperimentSpec) -> Table:
    backbone = spec.backbone
    assert isinstance(backbone, DiT.Params)
    has_text, has_labels = text_channels(spec) is not None, class_count(spec) > 0
    return name_table(backbone.depth, spec.patches[0], has_text=has_text, has_labels=has_labels)


def _shapes(spec: ExperimentSpec, table: Table) -> dict[str, Shape]:
    """The shapes that the release's weights must have, found without allocating any."""
    with torch.device("meta"):
        backbone, conditioners = build_network(spec)
    modules = {"backbone": backbone} | {f"conditioners.{index}": module for index, module in enumerate(conditioners)}
    ours = {f"{place}.{name}": t for place, module in modules.items() for name, t in module.state_dict().items()}
    return {name: tuple(tensor.shape) for name, tensor in to_official(ours, table, spec.patches[0]).items()}


def _finite(archive: Archive, state: Mapping[str, StoredTensor]) -> dict[str, Tensor]:
    tensors = archive.tensors(state)
    broken = [f"{name} holds numbers that are not finite" for name, t in tensors.items() if not t.isfinite().all()]
    if broken:
        raise DataError(f"{archive.path}: {len(broken)} of its weights are broken", *broken)
    return tensors


def _check_fits(path: Path, state: Mapping[str, StoredTensor], wanted: Mapping[str, Shape]) -> None:
    lines = misfits({name: stored.shape for name, stored in state.items()}, wanted)
    lines += [f"{name} holds {t.dtype}" for name, t in state.items() if not t.dtype.is_floating_point]
    if lines:
        raise DataError(f"{path}: {len(lines)} of its weights do not fit the {CONFIG}", *lines)
