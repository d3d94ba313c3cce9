"""Settings or wiring, never both; and what is built with what, which mypy checks in this file.

Each ``type: ignore`` marks what must be an error: mypy reports those that have become superfluous.
"""

from __future__ import annotations

from typing import Literal, assert_type

import pytest
import torch

from pixelflow.core.interfaces import Conditioner, Downsampler, Extractor, Sampler
from pixelflow.metrics.random_conv import RandomConv
from pixelflow.samplers.euler import Euler


def test_a_setting_that_is_wiring_too_is_refused_when_the_class_is_made() -> None:
    with pytest.raises(TypeError, match=r"'width' cannot be a setting in Params and a keyword of __init__; keep one"):

        class Both(Conditioner):
            class Params(Conditioner.Params):
                type: Literal["both"] = "both"
                width: int = 3

            def __init__(self, params: Params, *, width: int) -> None:
                super().__init__(params)


def test_a_setting_that_an_inherited_constructor_takes_is_refused() -> None:
    with pytest.raises(TypeError, match="'device' cannot be"):

        class Placed(Extractor):
            class Params(Extractor.Params):
                type: Literal["placed"] = "placed"
                device: str = "cpu"


def test_what_is_built_needs_no_annotation() -> None:
    sampler = Euler.Params().build()
    assert_type(sampler, Sampler)
    assert isinstance(sampler, Euler)
    extractor = RandomConv.Params().build(device=torch.device("cpu"))
    assert_type(extractor, Extractor)
    assert extractor.device.type == "cpu"


def test_wrong_wiring_is_an_error() -> None:
    with pytest.raises(TypeError, match="device"):
        Euler.Params().build(device=torch.device("cpu"))  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="device"):
        RandomConv.Params().build()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="positional"):
        RandomConv.Params().build(torch.device("cpu"))  # type: ignore[call-arg]


def _wrong_kind(params: Sampler.Params) -> Downsampler:
    return params.build()  # type: ignore[return-value]
