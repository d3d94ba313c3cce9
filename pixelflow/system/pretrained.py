"""Files of pretrained networks: found on this machine, never fetched, and told apart by their hash."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pixelflow.system.errors import DataError, MissingDependencyError, MissingInputError
from pixelflow.system.files import is_plain_file, opened, read_bytes

WEIGHTS_VARIABLE = "PIXELFLOW_WEIGHTS"
"""Environment variable with the folder in which weights are looked for."""

_LARGEST = 1 << 34
"""Bytes of a file that is read whole."""
_PARTS = (".safetensors", ".json", ".model", ".txt")
"""Suffixes of the files that make a network what it is."""


@dataclass(frozen=True)
class Published:
    """One file of weights as its publisher gives it out."""

    name: str
    url: str
    sha256: str


def weights_folder() -> Path:
    """Where weights are looked for: the folder in PIXELFLOW_WEIGHTS, else ``~/.cache/pixelflow``."""
    return Path(os.environ.get(WEIGHTS_VARIABLE) or "~/.cache/pixelflow").expanduser()


def read_file(published: Published, chosen: Path | None, sha256: str, owner: str) -> bytes:
    """The content of a file of weights, only if it has the hash `sha256`: what it holds may be code.

    Args:
        chosen: where it lies; by default in `weights_folder`.
        owner: the component, for the error.

    Raises:
        MissingDependencyError: it is not there; says what to fetch and where it goes.
        DataError: its hash is another one, or it is larger than any.
    """
    path = weights_folder() / published.name if chosen is None else chosen.expanduser()
    if not path.is_file():
        place = (
            f"put it there (or into another folder and set {WEIGHTS_VARIABLE})" if chosen is None else "put it there"
        )
        raise MissingDependencyError(
            f"{owner}: {path} is missing; where there is a network, fetch {published.url} "
            f"(SHA-256 {sha256}) and {place}"
        )
    content = read_bytes(path, _LARGEST)
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise DataError(f"{owner}: {path} has the SHA-256 {found}, not {sha256}; it is not opened, fetch it anew")
    return content


def folder_of(name: str, owner: str, needed: tuple[str, ...], sha256: str | None = None) -> Path:
    """The folder of a network, given as a path or as a name on the Hugging Face hub.

    A name is looked for below `weights_folder` and among what ``hf download`` has fetched.

    Args:
        owner: the component, for the error.
        needed: patterns that a file of the folder must match, each.
        sha256: of the file that matches the last of them, where what is published under this name is known.

    Raises:
        MissingInputError: a path to a folder that lacks a file.
        MissingDependencyError: the network is not on this machine; says what to fetch and where it goes.
        DataError: its weights are others than those that are published under its name.
    """
    folder = _folder_of(name, owner, needed, sha256)
    if sha256 is not None:
        weights = min(folder.glob(needed[-1]))
        if (found := _sha256_of(weights)) != sha256:
            raise DataError(
                f"{owner}: {weights} has the SHA-256 {found}, not {sha256}, which is that of {name}; "
                "fetch it anew, or set 'model' to the path of your own"
            )
    return folder


def _folder_of(name: str, owner: str, needed: tuple[str, ...], sha256: str | None) -> Path:
    for folder in (Path(name).expanduser(), weights_folder() / name):
        if folder.is_dir():
            lacking = [pattern for pattern in needed if not _has(folder, pattern)]
            if lacking:
                raise MissingInputError(
                    f"{owner}: {folder} holds no {' and no '.join(lacking)}; fetch the whole network"
                )
            return folder
    found = _in_hub_cache(name)
    if found is None or not all(_has(found, pattern) for pattern in needed):
        known = "" if sha256 is None else f"; {needed[-1]} has the SHA-256 {sha256}"
        raise MissingDependencyError(
            f"{owner}: {name} is not on this machine; where there is a network, fetch it by 'hf download {name}' "
            f"(it goes to {_hub_cache()}{known}), or set 'model' to a folder with {', '.join(needed)}"
        )
    return found


def _has(folder: Path, pattern: str) -> bool:
    """Whether it holds such a file; what may never end, as a pipe, is none."""
    return any(map(is_plain_file, folder.glob(pattern)))


def _in_hub_cache(name: str) -> Path | None:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
    except ImportError:  # it comes with the packages that read such folders
        return None
    try:
        return Path(snapshot_download(name, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None


def _hub_cache() -> str:
    home = os.environ.get("HF_HOME", "~/.cache/huggingface")
    return os.environ.get("HF_HUB_CACHE", f"{home}/hub")


def fingerprint(folder: Path) -> str:
    """One SHA-256 of the names and contents of a network's weights, settings and vocabulary."""
    paths = sorted(path for path in folder.iterdir() if path.suffix in _PARTS and is_plain_file(path))
    whole = hashlib.sha256()
    for path in paths:
        whole.update(f"{path.name} {_sha256_of(path)}\n".encode())
    return whole.hexdigest()


def _sha256_of(path: Path) -> str:
    found = path.stat()
    return _sha256(path, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=1024)
def _sha256(path: Path, size: int, changed: int) -> str:
    """The hash of a file, read once for each state it is in."""
    with opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
