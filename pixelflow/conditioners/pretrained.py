"""Files of pretrained encoders: found on this machine, never fetched, and told apart by their hash."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from pixelflow.core.errors import MissingDependencyError, MissingInputError


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


@cache
def fingerprint(folder: Path) -> str:
    """One SHA-256 of the names and contents of an encoder's weights, settings and vocabulary."""
    whole = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in (".safetensors", ".json", ".model", ".txt") and path.is_file():
            with path.open("rb") as file:
                own = hashlib.file_digest(file, "sha256").hexdigest()
            whole.update(f"{path.name} {own}\n".encode())
    return whole.hexdigest()
