"""Extractors of features in losses."""

from __future__ import annotations

from typing import Annotated

import torch

from pixelflow.core.interfaces import Extractor
from pixelflow.core.slots import Slot
from pixelflow.system.errors import UsageError

AnyExtractor = Annotated[Extractor.Params, Slot("extractor")]


def differentiable(params: Extractor.Params, device: torch.device) -> Extractor:
    """The extractor, ready to use.

    Raises:
        UsageError: gradients do not pass through it, or it has to learn from real images first.
        MissingDependencyError, MissingInputError, DataError: what it needs is not there, or damaged.
    """
    extractor: Extractor = params.build(device=device)
    if not extractor.is_differentiable:
        raise UsageError(
            f"the extractor {extractor.type_name()} lets no gradients through; a loss needs one that does, "
            "such as random_conv or classifier"
        )
    extractor.prepare()
    return extractor
