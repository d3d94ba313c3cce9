"""From a spec to objects: the one place that wires components together."""

from __future__ import annotations

import torch

from pixelflow.core.cascade import Cascade
from pixelflow.core.fields import CAPTION, LABEL, field_of
from pixelflow.core.interfaces import Backbone, Conditioner, Dataset, Sample
from pixelflow.core.model import FlowModel
from pixelflow.core.renoising import NotLinearError
from pixelflow.core.sampling import SamplingPlan
from pixelflow.core.spec import ExperimentSpec, SamplingSpec
from pixelflow.system.errors import DataError, SpecError

_LOOKED_AT = 20
"""Elements among which the first readable one is looked for."""


def build_cascade(spec: ExperimentSpec) -> Cascade:
    """The cascade of a spec; raises SpecError if an operator admits no exact renoising."""
    try:
        return Cascade(spec.stages, spec.cascade.down.build(), spec.cascade.up.build())
    except NotLinearError as error:
        raise SpecError(f"cascade: {error}") from None


def build_network(spec: ExperimentSpec) -> tuple[Backbone, list[Conditioner]]:
    """All that has weights, drawn from torch's global generator, on torch's default device.

    Raises:
        SpecError: the conditioners do not go together.
        UsageError: a conditioner needs what only the data can tell; see `resolve`.
    """
    context = {dim for params in spec.conditioners if (dim := params.context_dim) is not None}
    if len(context) > 1:
        raise SpecError(
            f"conditioners: their context tokens differ in width ({sorted(context)}); they cannot be joined"
        )
    backbone: Backbone = spec.backbone.build(
        channels=spec.image.channels, patches=spec.patches, context_dim=next(iter(context), None)
    )
    return backbone, [params.build(width=backbone.width) for params in spec.conditioners]


def build_model(spec: ExperimentSpec) -> FlowModel:
    """The model with fresh weights, drawn from torch's global generator."""
    return FlowModel(build_cascade(spec), *build_network(spec), spec.prediction.build())


def build_plan(sampling: SamplingSpec, stages: int) -> SamplingPlan:
    """How to sample, for a cascade of `stages` stages."""
    return SamplingPlan(
        sampler=sampling.sampler.build(),
        grid=sampling.grid.build(),
        guidance=sampling.guidance.build(),
        steps=sampling.steps_of(stages),
        precision=sampling.precision,
    )


def build_dataset(spec: ExperimentSpec) -> Dataset:
    """The data set, at the spec's size or sizes; raises SpecError if it has images of one size only."""
    image, cls = spec.image, spec.data.component
    assert issubclass(cls, Dataset)
    if image.max_aspect is not None and not cls.keeps_shape:
        raise SpecError(f"image.max_aspect: the images of the data set {cls.type_name()} have one shape; leave it out")
    sizes = {"sizes": spec.sizes} if image.max_aspect is not None else {}
    dataset: Dataset = spec.data.build(height=image.height, width=image.width, channels=image.channels, **sizes)
    return dataset


def resolve(spec: ExperimentSpec, dataset: Dataset) -> ExperimentSpec:
    """The spec with what only the data can tell (the number of classes) filled in.

    Raises:
        DataError: a conditioner reads a field that the data do not have; and what a conditioner itself raises.
    """
    _check_fields(spec, dataset)
    conditioners = tuple(params.resolved(dataset) for params in spec.conditioners)
    return spec.model_copy(update={"conditioners": conditioners})


def _check_fields(spec: ExperimentSpec, dataset: Dataset) -> None:
    """The first readable element tells, before anything is written; of labels the list of classes does."""
    readers = [cls for cls in map(_component, spec.conditioners) if cls.reads != LABEL.name]
    if not readers:
        return
    for index in range(min(len(dataset), _LOOKED_AT)):
        sample = dataset.sample(index, torch.Generator())
        if isinstance(sample, Sample):
            for reader in readers:
                if field_of(reader.reads).of(sample) is None:
                    name, some = dataset.params.component.type_name(), field_of(reader.reads).many
                    such = " (captioned_folder, shapes)" if reader.reads == CAPTION.name else ""
                    raise DataError(
                        f"conditioner {reader.type_name()}: the data set {name} has no {some}; "
                        f"use one that has{such}, or drop the conditioner"
                    )
            return


def _component(params: Conditioner.Params) -> type[Conditioner]:
    cls = params.component
    assert issubclass(cls, Conditioner)
    return cls
