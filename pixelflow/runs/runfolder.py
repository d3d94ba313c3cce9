"""A run's folder: the resolved spec, what it ran with, checkpoints, metrics and samples.

::

    runs/NAME/spec.yaml          every default written out
             environment.json    versions, platform, plugins, names of the classes; under `history` each change of them
             changes.jsonl       settings that changed while it went on: one line a change, with its step
             init.json           what it took from the run that it started from, if it did
             metrics.jsonl       one line every `training.log_every` steps, and one an evaluation
             checkpoints/        see `pixelflow.runs.checkpoint`
             averages/           snapshots of averages by a power of time, if `training.power_ema` asks for them
             samples/            pictures drawn while training
             evaluations/        records of what was measured
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path

from pydantic import BaseModel

from pixelflow.core import absent, reading
from pixelflow.core.classes import numbered
from pixelflow.core.document import Key
from pixelflow.core.former_keys import renamed
from pixelflow.core.spec import ExperimentSpec
from pixelflow.runs import checkpoint
from pixelflow.runs.environment import changes, environment, plugin_records
from pixelflow.runs.history import History, Step, best_of
from pixelflow.system import files, records, terminal
from pixelflow.system.errors import CannotWriteError, DataError, MissingInputError
from pixelflow.system.files import sync_folder, write_text, writing
from pixelflow.system.records import Body, FileKind, Migration, only_sealed

_SPEC = "spec.yaml"
ENVIRONMENT_FILE = "environment.json"
_SPEC_MIGRATIONS: tuple[Migration, ...] = (only_sealed,)
_SPEC_CURE = (
    "restore it, for settings are changed on the command line (KEY=VALUE); if you changed it by hand and mean it, "
    "delete the lines that begin with '# pixelflow format' and '# content_sha256'"
)


_OF_TRAINING: tuple[Key, ...] = (("training",), ("objective",), ("data",), ("evaluation",))
"""Blocks that decide on weights and on measuring, not on what is drawn with these weights."""


class Environment(BaseModel):
    """What a run was started with, as far as anybody relies on it."""

    classes: list[str]
    packages: dict[str, str] = {}
    history: list[Body] = []


ENVIRONMENT = FileKind("a run's environment", "restore it, or train anew under another name", Environment)


class RunFolder:
    """One run's folder.

    Raises:
        MissingInputError: there is no run at `path`.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.spec_file = self.path / _SPEC
        self.init_file = self.path / "init.json"
        self.changes_file = self.path / "changes.jsonl"
        self.metrics_file = self.path / "metrics.jsonl"
        self.checkpoints = self.path / "checkpoints"
        self.averages = self.path / "averages"
        self.samples = self.path / "samples"
        self.evaluations = self.path / "evaluations"
        if not self.spec_file.is_file():
            what = "is not a run (it holds no spec.yaml)" if self.path.is_dir() else "there is no such run"
            raise MissingInputError(f"{self.path}: {what}; pixelflow train makes one")

    @classmethod
    def create(cls, path: str | Path, spec: ExperimentSpec, classes: Sequence[str]) -> RunFolder:
        """Make the folder of a new run, complete or not at all.

        Raises:
            CannotWriteError: the system refuses, or something else is there already.
        """
        path = Path(path)
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise CannotWriteError(f"{path}: is there already and not empty; choose another name or remove it")
        draft = files.draft_of(path)
        with writing(path):
            files.remove_drafts(path.parent, path.name)
            try:
                for folder in (draft, draft / "checkpoints", draft / "samples"):
                    folder.mkdir(parents=True, exist_ok=True)
                _write_spec(draft / _SPEC, spec)
                ENVIRONMENT.write(draft / ENVIRONMENT_FILE, environment(classes, spec))
                draft.rename(path)
            except BaseException:
                shutil.rmtree(draft, ignore_errors=True)
                raise
            sync_folder(path.parent)
        return cls(path)

    @cached_property
    def history(self) -> History:
        """The run's metrics."""
        return History(self.metrics_file)

    def step_of(self, step: Step | None) -> int | None:
        """The number of a checkpoint that may be called ``best``.

        Raises:
            MissingInputError: no step was evaluated while training.
        """
        if step != "best":
            return step
        best = best_of(self.history.evaluated)
        if best is None:
            raise MissingInputError(
                f"{self.path}: no step was evaluated while training, so none is best; train with evaluation.every=N"
            )
        return best.step

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the labels that the run was trained on; empty for unlabelled data."""
        return tuple(self.environment["classes"])

    def classes_at(self, step: int) -> tuple[str, ...]:
        """The same of one checkpoint: imported weights (step 0) have no names, and older imports kept numbers."""
        found = self.classes
        return () if step == 0 and found == numbered(len(found)) else found

    @property
    def environment(self) -> Body:
        """What the run was started with; see `environment`."""
        path = self.path / ENVIRONMENT_FILE
        if not path.exists():
            raise MissingInputError(f"{path}: is missing; the run folder is incomplete")
        return ENVIRONMENT.read(path)

    @property
    def document(self) -> reading.Document:
        """The resolved spec as it stands in the file, but with today's keys.

        Raises:
            DataError: it is not as it was written.
            SpecError: it is no YAML.
        """
        raw, source = files.read_bytes(self.spec_file, reading.LARGEST), str(self.spec_file)
        text = raw.decode("utf-8", "surrogateescape")
        number = records.unseal_text(text, source, _SPEC_CURE, 1 + len(_SPEC_MIGRATIONS))
        document = reading.parse_bytes(raw, source)
        if isinstance(document.data, dict):
            for step in _SPEC_MIGRATIONS[number - 1 :]:
                document.data = step(document.data)
        return renamed(ExperimentSpec, document, terminal.be_silent)

    def note_resume(self, step: int, spec: ExperimentSpec) -> list[str]:
        """Append to the environment's history what the run goes on with, if it is not what it ran with before.

        Returns:
            what has changed and may change the results, a clause each.
        """
        kept = self.environment
        history = kept.get("history", [])
        known = [kept, *history]
        here = environment(kept["classes"], spec)
        brought = {name: record for each in known for name, record in plugin_records(each).items()}
        told = changes({**known[-1], "plugins": brought}, here)
        if told or here["plugins"].keys() - brought.keys():
            entry = {"step": step, **{key: value for key, value in here.items() if key != "classes"}}
            ENVIRONMENT.write(self.path / ENVIRONMENT_FILE, {**kept, "history": [*history, entry]})
        return told

    def read_spec(self, *, to_draw: bool = False) -> ExperimentSpec:
        """The resolved spec; raises as `document` and `validate`."""
        return self.validate(self.document, to_draw=to_draw)

    def validate(self, document: reading.Document, *, to_draw: bool = False) -> ExperimentSpec:
        """The run's spec, or that with changes; components whose plugin is not here become `Absent`.

        Args:
            to_draw: that other settings are unknown here, as those of another version may be, is no matter then.

        Raises:
            SpecError: it does not validate.
        """
        with absent.allowed(self._distribution_of):
            return reading.validate(ExperimentSpec, document, is_needed=_is_drawn_from if to_draw else reading.any_key)

    def _distribution_of(self, kind: str, name: str) -> str | None:
        """Which plugin brought a component when the run was trained; see `absent.Find`."""
        unknown = absent.by_name(kind, name)
        try:
            kept = self.environment
        except (DataError, MissingInputError):
            return unknown
        known = (kept, *kept.get("history", []))
        for plugin, record in (found for each in known for found in plugin_records(each).items()):
            if f"{kind} {name}" in record.get("components", ()) or name.startswith(f"{plugin}."):
                return str(record["distribution"])
        return unknown

    def write_spec(self, spec: ExperimentSpec) -> None:
        """Replace the spec, when a run is continued further than it was meant to go."""
        _write_spec(self.spec_file, spec)

    def clean(self) -> None:
        """Remove what a killed training left half done. The run is locked."""
        checkpoint.clean(self.checkpoints)
        for folder in (self.path, self.samples, *self.evaluations.glob("step-*")):
            files.remove_drafts(folder)

    def locked(self) -> AbstractContextManager[None]:
        """Keep other processes from writing this run; the lock ends with the process, however it ends.

        Raises:
            UsageError: another process holds it.
        """
        return files.locked(self.path, "another process is training this run; wait for it or stop it")


def _is_drawn_from(key: Key) -> bool:
    """Whether a setting has a part in what images a run draws."""
    return key[:1] not in _OF_TRAINING or key == ("objective", "prediction")


def _write_spec(path: Path, spec: ExperimentSpec) -> None:
    write_text(path, records.seal_text(reading.dump(spec), 1 + len(_SPEC_MIGRATIONS)))
