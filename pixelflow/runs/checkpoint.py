"""Checkpoints: safetensors and JSON in one folder a step, complete or absent, every bit under a hash.

A save writes a temporary folder beside the target, waits for the disk, adds a manifest of SHA-256 sums and renames
the folder into place. A kill at any moment leaves the old checkpoints and at most a draft that the next save removes.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from pixelflow.runs.weights import title_of
from pixelflow.system.errors import DataError, MissingInputError, PixelflowError, first_line
from pixelflow.system.files import opened, read_bytes, remove, sync, sync_folder, write_through, writing
from pixelflow.system.records import LARGEST, Body, later

MANIFEST = "manifest.json"
STATE = "state.json"

_FORMAT = 2
"""Of the manifest, which speaks for all files; those of format 1 do not name it."""

_DRAFT = ".draft-"
_REPLACED = ".replaced-"
_STEP_FOLDER = re.compile(r"step-(\d{8,})")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds, on the CPU."""

    step: int
    tensors: dict[str, dict[str, Tensor]]
    """Part ("model", "ema", "optimizer") -> name -> tensor."""
    state: Body
    sha256: dict[str, str]
    """File -> hash, of all files of the checkpoint."""


def save(
    folder: Path,
    step: int,
    tensors: Mapping[str, Mapping[str, Tensor]],
    state: Mapping[str, object],
    keep: int,
    best: int | None = None,
) -> Path:
    """Write the checkpoint of `step`, then delete those that `prune` does; returns its folder.

    Raises:
        CannotWriteError: the system refuses; earlier checkpoints are kept and nothing else is left behind.
    """
    target = folder / _name(step)
    with writing(target, "; the checkpoints before it are kept"):
        folder.mkdir(parents=True, exist_ok=True)
        clean(folder)
        draft = folder / f"{_DRAFT}{_name(step)}"
        try:
            _write(draft, step, tensors, state)
            _move_into_place(draft, target)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        prune(folder, step, keep, best)
    return target


def steps(folder: Path) -> list[int]:
    """The steps of all complete checkpoints, ascending."""
    if not folder.is_dir():
        return []
    matches = (_STEP_FOLDER.fullmatch(entry.name) for entry in folder.iterdir())
    return sorted(int(match[1]) for match in matches if match)


def load(folder: Path, step: int | None = None, parts: Collection[str] = ("ema",)) -> Checkpoint:
    """The checkpoint of `step`, with only the wanted parts read; by default the newest that is undamaged and finite.

    Raises:
        MissingInputError: there is no checkpoint, or it has no such part.
        DataError: the one that was asked for, or every one, is damaged.
    """
    present = steps(folder)
    if not present:
        raise MissingInputError(f"{folder}: holds no checkpoint; train the run first")
    if step is not None:
        if step not in present:
            raise MissingInputError(f"{folder}: holds no checkpoint of step {step} (there are: {_listed(present)})")
        return _read(folder / _name(step), step, parts)
    for newest in reversed(present):
        try:
            return _read(folder / _name(newest), newest, parts)
        except DataError as error:
            log.warning("%s; falling back to the checkpoint before it", error)
    raise DataError(f"{folder}: every checkpoint is damaged (steps {_listed(present)}); restore one or train anew")


def not_finite(tensors: Mapping[str, Mapping[str, Tensor]]) -> str | None:
    """The first tensor that holds infinities or what is not a number, as ``part name``; None if none does."""
    for part, named in tensors.items():
        for name, tensor in named.items():
            if not tensor.isfinite().all():
                return f"{part} {name}"
    return None


def clean(folder: Path) -> None:
    """Remove what killed saves left behind; a checkpoint that one was about to replace is put back."""
    for draft in folder.glob(f"{_DRAFT}*"):
        remove(draft)
    for replaced in folder.glob(f"{_REPLACED}*"):
        original = folder / replaced.name.removeprefix(_REPLACED)
        if original.exists():
            remove(replaced)
        else:
            replaced.rename(original)


def _name(step: int) -> str:
    return f"step-{step:08d}"


def _listed(present: Collection[int]) -> str:
    return ", ".join(map(str, present))


def _write(draft: Path, step: int, tensors: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, object]) -> None:
    draft.mkdir()
    for part, named in tensors.items():
        _write_tensors(draft / f"{part}.safetensors", named)
    write_through(draft / STATE, json.dumps(dict(state), indent=1).encode())
    sums = {path.name: _sha256(path) for path in sorted(draft.iterdir())}
    write_through(draft / MANIFEST, _manifest(step, sums))
    sync_folder(draft)


def _write_tensors(path: Path, named: Mapping[str, Tensor]) -> None:
    try:
        save_file(_separate(named), path)
    except SafetensorError as error:  # the Rust side reports a full disk in words only
        raise OSError(str(error)) from None
    sync(path)


def _separate(named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous CPU tensors; tied ones are copied, since safetensors refuses shared memory."""
    separate: dict[str, Tensor] = {}
    taken: set[int] = set()
    for name, tensor in named.items():
        storable = tensor.detach().cpu().contiguous()
        address = storable.untyped_storage().data_ptr()
        separate[name] = storable.clone() if address in taken else storable
        taken.add(address)
    return separate


def _move_into_place(draft: Path, target: Path) -> None:
    """Rename; a checkpoint of the same step (a damaged one, as a rule) stays until the new one is there."""
    replaced = target.with_name(f"{_REPLACED}{target.name}")
    if target.exists():
        target.rename(replaced)
    draft.rename(target)
    sync_folder(target.parent)
    if replaced.exists():
        shutil.rmtree(replaced)


def prune(folder: Path, step: int, keep: int, best: int | None = None) -> None:
    """Delete all checkpoints but the newest `keep` and the one of step `best`.

    Those after `step` are deleted too: training has gone back behind them.
    """
    present = steps(folder)
    kept = [earlier for earlier in present if earlier <= step][-keep:]
    for other in set(present) - {*kept, best}:
        doomed = folder / f"{_DRAFT}{_name(other)}"
        (folder / _name(other)).rename(doomed)  # so that no half-deleted checkpoint bears a checkpoint's name
        shutil.rmtree(doomed)


def _manifest(step: int, sums: Mapping[str, str], number: int = _FORMAT) -> bytes:
    """The manifest, with a hash of itself; for given sums and format there is only one form."""
    body = {**({"format": number} if number > 1 else {}), "step": step, "sha256": dict(sums)}
    own = hashlib.sha256(json.dumps(body).encode()).hexdigest()
    return json.dumps({**body, "manifest_sha256": own}, indent=1).encode()


def _read(path: Path, step: int, parts: Collection[str]) -> Checkpoint:
    sums = _read_manifest(path, step)
    for part in parts:
        if f"{part}.safetensors" not in sums:
            there = [title_of(name.removesuffix(".safetensors")) for name in sums if name != STATE]
            raise MissingInputError(f"{path}: holds no {title_of(part)} weights (there are: {', '.join(there)})")
    files = [STATE, *(f"{part}.safetensors" for part in parts)]
    for name in files:
        if not (path / name).is_file() or _sha256(path / name) != sums.get(name):
            raise DataError(f"{path / name}: is damaged (its SHA-256 is not the manifest's)")
    try:
        tensors = {part: load_file(path / f"{part}.safetensors") for part in parts}
        state = dict(json.loads(read_bytes(path / STATE, LARGEST)))
    except (SafetensorError, ValueError, TypeError, RecursionError) as error:  # of another form, under a fitting hash
        raise DataError(f"{path}: is no checkpoint of ours ({first_line(error)})") from None
    if (spoilt := not_finite(tensors)) is not None:
        raise DataError(f"{path}: is spoilt ({spoilt} is not finite)")
    return Checkpoint(step, tensors, state, sums)


def _read_manifest(path: Path, step: int) -> dict[str, str]:
    try:
        raw = read_bytes(path / MANIFEST, LARGEST)
        found = json.loads(raw)
        sums: dict[str, str] = found["sha256"]
        number = found.get("format", 1)
        intact = raw == _manifest(step, sums, number)
    except (PixelflowError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        intact = False
    if not intact:
        raise DataError(f"{path / MANIFEST}: is missing or damaged")
    if number > _FORMAT:
        raise later(str(path), number, _FORMAT)
    return sums


def _sha256(path: Path) -> str:
    with opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
