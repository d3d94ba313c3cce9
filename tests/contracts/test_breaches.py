"""The checks catch what they are for: each component here breaks one promise."""

from __future__ import annotations

from typing import Literal

import pytest

from pixelflow import contracts
from pixelflow.core import plugins
from pixelflow.core.registry import registry

plugins.load()


def built_in(kind, name):
    return registry.of_kind(kind)[name].cls


class TooProud(built_in("sampler", "euler")):
    """States an order that it has not."""

    order = 2

    class Params(built_in("sampler", "euler").Params):
        type: Literal["bad.proud"] = "bad.proud"


class Gossip(built_in("sampler", "euler")):
    """Mixes the images of a batch."""

    class Params(built_in("sampler", "euler").Params):
        type: Literal["bad.gossip"] = "bad.gossip"

    def integrate(self, field, x, points, noise):
        return super().integrate(field, x + x.mean(0, keepdim=True), points, noise)


class Bent(built_in("downsampler", "bilinear")):
    """Is not linear."""

    class Params(built_in("downsampler", "bilinear").Params):
        type: Literal["bad.bent"] = "bad.bent"

    def __call__(self, x):
        return super().__call__(x).tanh()


class Modest(built_in("upsampler", "nearest")):
    """States too small a gain."""

    gain = 1.5

    class Params(built_in("upsampler", "nearest").Params):
        type: Literal["bad.modest"] = "bad.modest"


class White(built_in("upsampler", "nearest")):
    """Renoises with white noise."""

    class Params(built_in("upsampler", "nearest").Params):
        type: Literal["bad.white"] = "bad.white"

    def shape_noise(self, white):
        return white


class Thrifty(built_in("guidance", "constant")):
    """States fewer evaluations than it spends."""

    class Params(built_in("guidance", "constant").Params):
        type: Literal["bad.thrifty"] = "bad.thrifty"

    def evaluations(self, stage, tau):
        return 1


class Secretive(built_in("guidance", "constant")):
    """Asks for a weaker model and does not say so."""

    class Params(built_in("guidance", "constant").Params):
        type: Literal["bad.secretive"] = "bad.secretive"

    def guide(self, branches):
        return branches.weak

    def evaluations(self, stage, tau):
        return 1


class Boastful(built_in("guidance", "none")):
    """Says that it asks for the null condition, as every guidance does by default, and never asks."""

    class Params(built_in("guidance", "none").Params):
        type: Literal["bad.boastful"] = "bad.boastful"

    uses_null = True


class Nameless(built_in("metric", "frechet")):
    """Gives a figure that it does not name."""

    figures = ("distance",)

    class Params(built_in("metric", "frechet").Params):
        type: Literal["bad.nameless"] = "bad.nameless"


class Boundless(built_in("metric", "frechet")):
    """States bounds that its figures leave."""

    bounds = (0.0, 1e-9)

    class Params(built_in("metric", "frechet").Params):
        type: Literal["bad.boundless"] = "bad.boundless"


class Homonymous(built_in("dataset", "digits")):
    """Gives two classes one name."""

    classes = tuple("0123456788")

    class Params(built_in("dataset", "digits").Params):
        type: Literal["bad.homonymous"] = "bad.homonymous"


class Forgetful(built_in("conditioner", "class_label")):
    """Takes the rows of other classes over by number."""

    class Params(built_in("conditioner", "class_label").Params):
        type: Literal["bad.forgetful"] = "bad.forgetful"

    def for_classes(self, weights, places):
        return dict(weights)


@pytest.mark.parametrize(
    ("component", "promise"),
    [
        (Homonymous, "a name of its own"),
        (Forgetful, "each class gets the condition that it had there"),
        (TooProud, "approach the law of the data at the stated order"),
        (Gossip, "does not depend on the batch"),
        (Bent, "It is linear"),
        (Modest, "``gain`` is the largest singular value"),
        (White, "are white"),
        (White, "generates the law of the data"),
        (Thrifty, "spends exactly the network evaluations"),
        (Secretive, "asks for the null condition"),
        (Boastful, "asks for the null condition"),
        (Boundless, "within the bounds"),
        (Nameless, "within the bounds"),
    ],
)
def test_a_breach_is_found(component, promise):
    broken = [outcome.promise for outcome in contracts.check(component.Params()) if outcome.status == "broken"]
    assert any(promise in each for each in broken), broken
