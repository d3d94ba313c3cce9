"""Which class is which when a run goes on: as the run knows it, whatever the order in its data has become."""

from __future__ import annotations

from collections.abc import Callable

from pixelflow.conditioners.class_label import ClassLabel
from pixelflow.core.classes import match, shown
from pixelflow.core.errors import DataError
from pixelflow.core.interfaces import Conditioner, Dataset
from pixelflow.core.runfolder import RunFolder
from pixelflow.core.spec import ExperimentSpec
from pixelflow.data.renumbered import Renumbered


def reads_labels(spec: ExperimentSpec) -> bool:
    """Whether a model of this spec is conditioned on labels."""
    kinds = [params.component for params in spec.conditioners]
    return any(issubclass(cls, Conditioner) and cls.reads == "label" for cls in kinds)


def with_classes_of(run: RunFolder, dataset: Dataset, say: Callable[[str], None]) -> Dataset:
    """The data with the labels that the run knows their classes by; `say` is told what people should know of it.

    Raises:
        DataError: the run does not know all of the classes, or not which is which.
    """
    spec, known = run.read_spec(), run.classes
    if not (reads_labels(spec) and dataset.classes):
        return dataset  # labels that nothing reads may be called anything; where they are missing, `resolve` says so
    if not known:
        _check_count(run, spec, dataset)
        known = dataset.classes
    try:
        found = match(dataset.classes, known, of="the data", there=f"the run {run.path}")
    except DataError as error:
        raise DataError(f"{error}; give them the names that the run knows, or train another run (--run NAME)") from None
    if found.missing:
        raise DataError(
            f"the run {run.path} does not know these classes of its data: {shown(found.missing)}; "
            f"take their images out, or start another run from it (training.init_from={run.path})"
        )
    if not run.classes or found.note:
        say(f"{run.path}: {found.note or 'its classes have no names yet and take those of the data, by number'}")
    return dataset if found.is_same else Renumbered(dataset, found)


def _check_count(run: RunFolder, spec: ExperimentSpec, dataset: Dataset) -> None:
    """A run without names (imported weights) can only go on with as many classes."""
    counts = {params.classes for params in spec.conditioners if isinstance(params, ClassLabel.Params)}
    if counts - {len(dataset.classes)}:
        raise DataError(
            f"the run {run.path} has {max(filter(None, counts))} classes without names and its data have "
            f"{len(dataset.classes)}; start another run from it (training.init_from={run.path})"
        )
