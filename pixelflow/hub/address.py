"""Runs that lie elsewhere, made runs of a folder once: ``hf://user/name`` on the Hugging Face Hub, ``zoo:NAME``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from pixelflow.hub.folder import WEIGHTS, import_folder
from pixelflow.hub.zoo import zoo_file
from pixelflow.runs.tensor_files import sha256
from pixelflow.system.distribution import install
from pixelflow.system.errors import CannotWriteError, MissingDependencyError, MissingInputError, UsageError, first_line

_ADDRESS = re.compile(r"hf:/{1,2}([\w.-]+)/([\w.-]+?)(?:@([\w./-]+))?")
"""Paths have lost one of the two slashes."""


@dataclass(frozen=True)
class HubAddress:
    """A repository on the Hub."""

    user: str
    name: str
    revision: str | None = None
    """A branch, tag or commit; None for the newest."""

    def __str__(self) -> str:
        return f"hf://{self.user}/{self.name}" + (f"@{self.revision}" if self.revision else "")

    @property
    def repository(self) -> str:
        return f"{self.user}/{self.name}"


def read_address(text: str | Path) -> HubAddress:
    """``hf://user/name`` or ``hf://user/name@revision``; raises UsageError for anything else."""
    found = _ADDRESS.fullmatch(str(text))
    if found is None:
        raise UsageError(
            f"{text}: is no address on the Hub, which has the form hf://user/name or hf://user/name@revision"
        )
    return HubAddress(*found.groups())


def local_run(address: str | Path, folder: Path) -> Path:
    """The run that an address names, in a folder of runs: made of what is fetched, unless it is there already.

    Raises:
        UsageError: it is no address.
        MissingDependencyError: the package huggingface_hub is not installed.
        MissingInputError: there is no such repository, no such file in it, or no way there.
        DataError, SpecError, CannotWriteError: as `import_folder`.
    """
    there = found(str(address))
    run = folder / there.name
    if not (run / "spec.yaml").is_file():
        try:
            import_folder(there.file, run, there.address)
        except CannotWriteError:
            if not (run / "spec.yaml").is_file():  # else another process was faster
                raise
    return run


class Elsewhere(NamedTuple):
    """Weights that an address names."""

    file: Path
    name: str
    """Of a run that is made of them."""
    address: str


def found(address: str) -> Elsewhere:
    """The weights that an address names; raises as `local_run`."""
    if address.startswith("zoo:"):
        file = zoo_file(address)
        return Elsewhere(file, f"zoo-{file.stem}-{sha256(file)[:10]}", address)
    wanted = read_address(address)
    file = fetched(wanted)
    return Elsewhere(file, f"{wanted.user}--{wanted.name}-{_commit(file)[:10]}", str(wanted))


def fetched(address: HubAddress) -> Path:
    """The file of weights, in the cache of huggingface_hub, which asks the Hub whether there is a newer one."""
    hub = hub_package()
    errors = hub.errors
    try:
        return Path(hub.hf_hub_download(address.repository, WEIGHTS, revision=address.revision))
    except errors.HFValidationError as error:
        raise UsageError(f"{address}: {first_line(error)}") from None
    except errors.RepositoryNotFoundError:
        raise MissingInputError(f"{address}: there is no such repository, or it is private: hf auth login") from None
    except errors.RevisionNotFoundError:
        raise MissingInputError(f"{address}: the repository has no such revision") from None
    except errors.LocalEntryNotFoundError:
        raise MissingInputError(f"{address}: is not in the cache, and the Hub cannot be reached") from None
    except errors.EntryNotFoundError:
        raise MissingInputError(f"{address}: holds no {WEIGHTS}; pixelflow push writes such repositories") from None
    except (errors.HfHubHTTPError, OSError) as error:
        raise MissingInputError(f"{address}: cannot be fetched ({first_line(error)})") from None


def hub_package() -> ModuleType:
    """The package huggingface_hub, which fetches and uploads; raises MissingDependencyError where it is not."""
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ImportError:
        raise MissingDependencyError(f"the Hub needs the package huggingface_hub: {install('hub')}") from None
    package: ModuleType = huggingface_hub
    return package


def _commit(file: Path) -> str:
    """The commit that a file of huggingface_hub's cache is of: ``snapshots/<commit>/transformer/...``."""
    return file.parents[len(Path(WEIGHTS).parts) - 1].name
