"""Checkpoints: safetensors and JSON in one folder a step, complete or absent, every bit under a hash.

A save writes a temporary folder beside the target, waits for the disk, adds a manifest of SHA-256 sums and renames
the folder into place. A kill at any moment leaves the old checkpoints and at most a draft that the next save removes.
Several processes may each `write` their share of the tensors; one of them then `commit`s the whole.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from torch import Tensor

from pixelflow.runs import tensor_files
from pixelflow.runs.tensor_files import WHOLE, Share
from pixelflow.runs.weights import title_of
from pixelflow.system.errors import DataError, MissingInputError, PixelflowError, first_line
from pixelflow.system.files import read_bytes, remove, sync_folder, write_through, writing
from pixelflow.system.records import LARGEST, Body, later

MANIFEST = "manifest.json"
STATE = "state.json"

_SINGLE, _SHARED = 2, 3
"""Formats of the manifest, which speaks for all files: one a part, or several. Those of format 1 do not name it."""

_DRAFT = ".draft-"
_REPLACED = ".replaced-"
_KEPT = "; the checkpoints before it are kept"
_STEP_FOLDER = re.compile(r"step-(\d{8,})")

log = logging.getLogger(__name__)

Keep = Callable[[str, str, Tensor], Tensor]
"""Part, name and tensor to what is kept of it."""


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds, on the CPU."""

    step: int
    tensors: dict[str, dict[str, Tensor]]
    """Part ("model", "ema", "optimizer") -> name -> tensor."""
    state: Body
    sha256: dict[str, str]
    """File -> hash, of all files of the checkpoint."""

    def digest(self, part: str) -> str:
        """Tells a part from all others: the hash of its file, or of the hashes of its shares."""
        sums = [self.sha256[file] for file in tensor_files.parts_of(self.sha256)[part]]
        return sums[0] if len(sums) == 1 else hashlib.sha256(" ".join(sums).encode()).hexdigest()


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
    start(folder)
    sums = write(folder, step, tensors)
    return commit(folder, step, sums, state, keep, best)


def start(folder: Path) -> None:
    """Make room for new checkpoints: what killed saves left behind is removed; raises CannotWriteError."""
    with writing(folder, _KEPT):
        folder.mkdir(parents=True, exist_ok=True)
        clean(folder)


def write(folder: Path, step: int, tensors: Mapping[str, Mapping[str, Tensor]], share: Share = WHOLE) -> dict[str, str]:
    """Write one share of the tensors of `step`, which `commit` makes a checkpoint; returns the hashes of its files.

    Raises:
        CannotWriteError: the system refuses; nothing is left behind.
    """
    draft, files = folder / f"{_DRAFT}{_name(step)}", {share.file_of(part): named for part, named in tensors.items()}
    with _drafted(draft, folder / _name(step)):
        draft.mkdir(exist_ok=True)
        return {name: tensor_files.write(draft / name, named) for name, named in files.items()}


def commit(
    folder: Path, step: int, sums: Mapping[str, str], state: Mapping[str, object], keep: int, best: int | None = None
) -> Path:
    """Make all that was written of `step` its checkpoint, then delete those that `prune` does; returns its folder.

    Raises:
        CannotWriteError: the system refuses; earlier checkpoints are kept and nothing else is left behind.
    """
    draft, target = folder / f"{_DRAFT}{_name(step)}", folder / _name(step)
    with _drafted(draft, target):
        write_through(draft / STATE, json.dumps(dict(state), indent=1).encode())
        all_sums = {**sums, STATE: tensor_files.sha256(draft / STATE)}
        number = _SINGLE if all(len(own) == 1 for own in tensor_files.parts_of(sums).values()) else _SHARED
        write_through(draft / MANIFEST, _manifest(step, dict(sorted(all_sums.items())), number))
        sync_folder(draft)
        _move_into_place(draft, target)
        prune(folder, step, keep, best)
    return target


@contextmanager
def _drafted(draft: Path, target: Path) -> Iterator[None]:
    """Within, a checkpoint is drafted; the draft goes where that fails."""
    with writing(target, _KEPT):
        try:
            yield
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise


def steps(folder: Path) -> list[int]:
    """The steps of all complete checkpoints, ascending."""
    if not folder.is_dir():
        return []
    matches = (_STEP_FOLDER.fullmatch(entry.name) for entry in folder.iterdir())
    return sorted(int(match[1]) for match in matches if match)


def load(
    folder: Path, step: int | None = None, parts: Collection[str] = ("ema",), keep: Keep | None = None
) -> Checkpoint:
    """The checkpoint of `step`, with only the wanted parts read; by default the newest that is undamaged and finite.

    Args:
        keep: ``keep(part, name, tensor)``, what is kept of each tensor, by default all; one is held whole at a time.

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
        return _read(folder / _name(step), step, parts, keep)
    for newest in reversed(present):
        try:
            return _read(folder / _name(newest), newest, parts, keep)
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


def _manifest(step: int, sums: Mapping[str, str], number: int) -> bytes:
    """The manifest, with a hash of itself; for given sums and format there is only one form."""
    body = {**({"format": number} if number > 1 else {}), "step": step, "sha256": dict(sums)}
    own = hashlib.sha256(json.dumps(body).encode()).hexdigest()
    return json.dumps({**body, "manifest_sha256": own}, indent=1).encode()


def _read(path: Path, step: int, parts: Collection[str], keep: Keep | None) -> Checkpoint:
    sums = _read_manifest(path, step)
    files = tensor_files.parts_of(sums)
    for part in parts:
        if part not in files:
            there = [title_of(part) for part in files]
            raise MissingInputError(f"{path}: holds no {title_of(part)} weights (there are: {', '.join(there)})")
    for name in [STATE, *(file for part in parts for file in files[part])]:
        if not (path / name).is_file() or tensor_files.sha256(path / name) != sums.get(name):
            raise DataError(f"{path / name}: is damaged (its SHA-256 is not the manifest's)")
    try:
        tensors = {part: _tensors(path, part, files[part], keep) for part in parts}
        state = dict(json.loads(read_bytes(path / STATE, LARGEST)))
    except (SafetensorError, ValueError, TypeError, RecursionError) as error:  # of another form, under a fitting hash
        raise DataError(f"{path}: is no checkpoint of ours ({first_line(error)})") from None
    return Checkpoint(step, tensors, state, sums)


def _tensors(path: Path, part: str, files: Sequence[str], keep: Keep | None) -> dict[str, Tensor]:
    """What is kept of a part's tensors, each of which is finite."""

    def kept(name: str, whole: Tensor) -> Tensor:
        if not whole.isfinite().all():
            raise DataError(f"{path}: is spoilt ({part} {name} is not finite)")
        return whole if keep is None else keep(part, name, whole)

    return tensor_files.read([path / file for file in files], kept)


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
    if number > _SHARED:
        raise later(str(path), number, _SHARED)
    return sums
