"""Files of pretrained encoders: found on this machine, never fetched, and told apart by their hash."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from pixelflow.core.errors import MissingDependencyError, MissingInputError

_PARTS = (".safetensors", ".json", ".model", ".txt")
"""Suffixes of the files that make an encoder what it is."""


def folder_of(name: str, owner: str, needed: tuple[str, ...]) -> Path:
    """The folder of an encoder, given as a path or as a name on the Hugging Face hub.

    Args:
        owner: the conditioner, for the error.
        needed: patterns that a file of the folder must match, each.

    Raises:
        MissingInputError: a path to a folder that lacks a file.
        MissingDependencyError: the encoder is not on this machine; says what to fetch and where it goes.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        lacking = [pattern for pattern in needed if not any(folder.glob(pattern))]
        if lacking:
            raise MissingInputError(f"{owner}: {folder} holds no {' and no '.join(lacking)}; fetch the whole encoder")
        return folder
    found = _in_hub_cache(name)
    if found is None or not all(any(found.glob(pattern)) for pattern in needed):
        raise MissingDependencyError(
            f"{owner}: the encoder {name} is not on this machine; where there is a network, fetch it by "
            f"'hf download {name}' (it goes to {_hub_cache()}), or set 'model' to a folder with {', '.join(needed)}"
        )
    return found


def _in_hub_cache(name: str) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None


def _hub_cache() -> str:
    from huggingface_hub.constants import HF_HUB_CACHE

    return HF_HUB_CACHE


def fingerprint(folder: Path) -> str:
    """One SHA-256 of the names and contents of an encoder's weights, settings and vocabulary."""
    paths = sorted(path for path in folder.iterdir() if path.suffix in _PARTS and path.is_file())
    whole = hashlib.sha256()
    for path in paths:
        found = path.stat()
        whole.update(f"{path.name} {_sha256(path, found.st_size, found.st_mtime_ns)}\n".encode())
    return whole.hexdigest()


@lru_cache(maxsize=1024)
def _sha256(path: Path, size: int, changed: int) -> str:
    """The hash of a file, read once for each state it is in."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
