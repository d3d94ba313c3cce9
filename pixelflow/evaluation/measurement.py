"""Measuring images beside real ones by the metrics of a spec, and recording how."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from pixelflow.core.interfaces import Extractor, Metric
from pixelflow.core.plugin_use import codes
from pixelflow.core.spec import EvaluationSpec
from pixelflow.core.version import __version__
from pixelflow.evaluation import records, statistics
from pixelflow.evaluation.comparison import FeatureComparison, Progress, silent
from pixelflow.evaluation.generated import Generation
from pixelflow.evaluation.inputs import Images, Reference, check_reference, dataset_at
from pixelflow.evaluation.intervals import WatchedComparison, intervals
from pixelflow.evaluation.records import MetricOutcome
from pixelflow.evaluation.sources import DatasetSource, Source
from pixelflow.evaluation.statistics import FeatureMoments
from pixelflow.runs.metric_result import MetricResult
from pixelflow.system.cache import CACHE_VARIABLE, cache_folder
from pixelflow.system.errors import DataError
from pixelflow.system.files import check_writable
from pixelflow.system.parallel import Parallel

log = logging.getLogger(__name__)


def prepare(spec: EvaluationSpec, device: torch.device) -> None:
    """Load what the metrics need, so that what is missing is known before a training or a drawing and not after it.

    Raises:
        MissingDependencyError, MissingInputError, UsageError, DataError: weights, the package that reads them or the
            real images are not there, or the weights are damaged.
    """
    if spec.reference is not None:
        check_reference(spec.reference)
    for params in spec.metrics:
        extractor = params.build(device=device).extractor
        if extractor is not None:
            extractor.build(device=device).prepare()


@dataclass(frozen=True)
class Measurement:
    """Images to measure against real ones, and by what."""

    spec: EvaluationSpec
    generated: DatasetSource
    reference: Reference
    subject: Mapping[str, object]
    """What the images are, for the record."""
    notes: tuple[str, ...] = ()

    @property
    def inputs(self) -> list[str]:
        """The real images, and those in files that are measured: a line each."""
        read = {"real images": self.reference.source} | ({} if "run" in self.subject else {"images": self.generated})
        return [source.told(name) for name, source in read.items() if isinstance(source, DatasetSource)]

    @classmethod
    def of_run(cls, generation: Generation, images: Path, spec: EvaluationSpec, reference: Reference) -> Measurement:
        """The images that ``generation.draw_into(images)`` wrote, against real ones."""
        run, image = generation.run, generation.run.spec.image
        source = DatasetSource(
            dataset_at(images, (image.channels, *image.size)),
            spec.bad_images,
            generation.labels,
            generation.captions,
            classes=run.classes,
        )
        subject = {"run": run.spec.name, **generation.recipe}
        return cls(spec, source, reference, subject, (*reference.notes, *reference.class_notes(source)))

    @classmethod
    def of_files(cls, images: Images, spec: EvaluationSpec, reference: Reference) -> Measurement:
        """Images from anywhere, against real ones."""
        source = images.source(spec.bad_images)
        notes = (*images.notes, *reference.notes, *reference.class_notes(source))
        return cls(spec, source, reference, images.told, notes)

    def compared(
        self, folder: Path, device: torch.device, progress: Progress = silent, parallel: Parallel | None = None
    ) -> FeatureComparison:
        """What the metrics see; `folder` keeps the features, for when this is stopped and asked for again."""
        return FeatureComparison(
            self.generated,
            self.reference.source,
            device=device,
            folder=folder / "features",
            cache=cache_folder("features"),
            statistics=self.reference.statistics,
            progress=progress,
            parallel=parallel,
        )

    def measure(self, images: FeatureComparison) -> Iterator[MetricOutcome]:
        """What comes of one metric after the other; one that fails does not keep the others from being measured."""
        for params in self.spec.metrics:
            metric: Metric = params.build(device=images.device)
            try:
                yield MetricOutcome(metric, self._result(metric, images))
            except Exception as error:  # whatever it is, the others' figures must not be lost with it
                yield MetricOutcome(metric, error=error)

    def _result(self, metric: Metric, images: FeatureComparison) -> MetricResult:
        watched = WatchedComparison(images)
        values = metric.compute(watched)
        draws = 0 if watched.read_images else self.spec.bootstrap
        return MetricResult(
            metric=metric.title,
            values=values,
            intervals=_intervals(metric, values, images, draws),
            higher_is_better=metric.higher_is_better,
            settings=metric.params.model_dump(mode="json"),
            recipe={
                "protocol": metric.protocol,
                "extractors": [_named(params, images) for params in watched.extractors.values()],
                "images": len(self.generated),
                "reference_images": len(self.reference.source) or None,
                "bootstrap": draws,
                **codes(metric.params),
                **_drawn_how(self.subject),
            },
        )

    @property
    def digest(self) -> str:
        """A short name of the images, what they are compared with, and by what: one evaluation, one name."""
        drawn_by = {} if "sampling" in self.subject else {"files": self.generated.fingerprint}
        return records.digest_of(
            {
                "subject": {**self.subject, **drawn_by},
                "reference": {**self.reference.told, "files": self.reference.source.fingerprint},
                "measured_by": self.spec.model_dump(mode="json", include={"metrics", "bootstrap", "bad_images"}),
            }
        )

    def record(self, folder: Path, outcomes: Sequence[MetricOutcome]) -> Path:
        """Write what was measured, of what, against what and how; returns the file, of which see `records.write`."""
        body = {
            "pixelflow": __version__,
            "subject": {**self.subject, **_counts(self.generated)},
            "reference": {**self.reference.told, **_counts(self.reference.source)},
            "notes": list(self.notes),
        }
        return records.write(folder, self.digest, body, outcomes)

    def save_statistics(self, file: Path, images: FeatureComparison) -> list[str]:
        """Keep mean and covariance of the real images by every extractor that was asked for; returns their names.

        Raises:
            DataError: none was.
        """
        if not images.extractors:
            raise DataError(f"{file}: not written, for none of the metrics uses an extractor")
        entries = [
            FeatureMoments(
                {**params.model_dump(mode="json"), **codes(params)},
                images.weights_sha256(params),
                *images.reference_moments(params),
            )
            for params in images.extractors
        ]
        told = {**self.reference.told, **_counts(self.reference.source)}
        statistics.save(file, entries, told, self.reference.source.fingerprint)
        return [params.component.type_name() for params in images.extractors]


def check_places(folder: Path) -> None:
    """Raise CannotWriteError, before anything is drawn, where results or features cannot be kept."""
    check_writable(folder)
    check_writable(cache_folder("features"), CACHE_VARIABLE)


def _intervals(
    metric: Metric, values: dict[str, float], images: FeatureComparison, draws: int
) -> dict[str, tuple[float, float]]:
    """None where half of the images are too few for the metric."""
    try:
        return intervals(values, metric.compute, images, draws, metric.bounds) if draws else {}
    except DataError as error:
        log.warning("%s: no interval, for it takes halves of the images (%s)", metric.title, error)
        return {}


def _named(params: Extractor.Params, images: FeatureComparison) -> dict[str, object]:
    return {**params.model_dump(mode="json"), "weights_sha256": images.weights_sha256(params)}


def _drawn_how(subject: Mapping[str, object]) -> dict[str, object]:
    """How the images were drawn, where that is known."""
    sampling = subject.get("sampling")
    if not isinstance(sampling, Mapping):
        return {}
    chosen = {key: sampling[key] for key in records.SAMPLING}
    return {**chosen, **{key: subject[key] for key in ("weights", "step", "seed")}}


def _counts(source: Source) -> dict[str, object]:
    return {"measured": len(source), "unreadable": source.tally.reasons}
