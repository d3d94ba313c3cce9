"""Giving a folder to the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path

from pixelflow.hub.address import hub_package, read_address
from pixelflow.system.errors import CannotWriteError, first_line


def upload(folder: Path, repository: str, *, private: bool = False) -> str:
    """Make the repository if it is not there, and one commit of all files; returns its address in a browser.

    Raises:
        UsageError: the name is not ``user/name``.
        MissingDependencyError: the package huggingface_hub is not installed.
        CannotWriteError: the Hub refuses, or cannot be reached.
    """
    wanted = read_address(f"hf://{repository}").repository
    hub = hub_package()
    try:
        client = hub.HfApi()
        client.create_repo(wanted, private=private, exist_ok=True)
        done = client.upload_folder(
            repo_id=wanted, folder_path=folder, commit_message="A model of pixelflow", ignore_patterns=[".*"]
        )
    except (hub.errors.HfHubHTTPError, hub.errors.LocalTokenNotFoundError, OSError) as error:
        reason = first_line(error)
        cure = "; hf auth login" if "401" in reason or "token" in reason.lower() else ""
        raise CannotWriteError(f"{wanted}: cannot be uploaded ({reason}){cure}; the folder {folder} is kept") from None
    return str(done.repo_url if hasattr(done, "repo_url") else done)
