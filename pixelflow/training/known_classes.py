"""Which class is which when a run goes on: as the run knows it, whatever the order in its data has become."""

from __future__ import annotations

from collections.abc import Callable

from pixelflow.core.classes import match, shown
from pixelflow.core.fields import LABEL
from pixelflow.core.interfaces import Conditioner, Dataset
from pixelflow.core.spec import ExperimentSpec
from pixelflow.data.renumbered import Renumbered
from pixelflow.runs.runfolder import RunFolder
from pixelflow.system.errors import DataError


def with_classes_of(run: RunFolder, dataset: Dataset, say: Callable[[str], None]) -> Dataset:
    """The data with the labels that the run knows their classes by; `say` is told what people should know of it.

    Raises:
        DataError: the run does not know all of the classes, or not which is which.
    """
    if not (_reads_labels(run.read_spec()) and dataset.classes):
        return dataset  # labels that nothing reads may be called anything; where they are missing, `resolve` says so
    try:
        found = match(dataset.classes, run.classes, of="the data", there=f"the run {run.path}")
    except DataError as error:
        raise DataError(f"{error}; give them the names that the run knows, or train another run (--run NAME)") from None
    if found.missing:
        raise DataError(
            f"the run {run.path} does not know these classes of its data: {shown(found.missing)}; "
            f"take their images out, or start another run from it (training.init_from={run.path})"
        )
    if found.note:
        say(f"{run.path}: {found.note}")
    return dataset if found.is_same else Renumbered(dataset, found)


def _reads_labels(spec: ExperimentSpec) -> bool:
    kinds = [params.component for params in spec.conditioners]
    return any(issubclass(cls, Conditioner) and cls.reads == LABEL.name for cls in kinds)
