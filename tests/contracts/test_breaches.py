"""The checks catch what they are for: each component here breaks one promise."""

from __future__ import annotations

from itertools import pairwise
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


class TooHumble(built_in("sampler", "heun")):
    """States a lower order than it has."""

    order = 1

    class Params(built_in("sampler", "heun").Params):
        type: Literal["bad.humble"] = "bad.humble"


class DeafAtFirst(built_in("prediction", "velocity")):
    """Forgets the network close to the start of a stage."""

    class Params(built_in("prediction", "velocity").Params):
        type: Literal["bad.deaf"] = "bad.deaf"

    def velocity(self, output, x, tau, stage, blur):
        return super().velocity(output, x, tau, stage, blur) * (tau != 0.01) + 0 * x


class FlipsAtLast(built_in("prediction", "velocity")):
    """Changes its sign close to the end of a stage."""

    class Params(built_in("prediction", "velocity").Params):
        type: Literal["bad.flips"] = "bad.flips"

    def velocity(self, output, x, tau, stage, blur):
        return super().velocity(output, x, tau, stage, blur) * (1 - 2.0 * (tau > 0.985))


class BlowsUp(built_in("prediction", "velocity")):
    """Divides by the time that is left."""

    class Params(built_in("prediction", "velocity").Params):
        type: Literal["bad.blows_up"] = "bad.blows_up"

    def velocity(self, output, x, tau, stage, blur):
        return (output - x) / (1 - tau)


class Middling(built_in("times", "uniform")):
    """Never trains the ends of a stage."""

    class Params(built_in("times", "uniform").Params):
        type: Literal["bad.middling"] = "bad.middling"

    def sample(self, count, generator):
        return 0.1 + 0.8 * super().sample(count, generator)


class LazyAtLast(built_in("guidance", "constant")):
    """Rests close to the end of a stage."""

    class Params(built_in("guidance", "constant").Params):
        type: Literal["bad.lazy"] = "bad.lazy"

    def guide(self, branches):
        velocity = super().guide(branches)
        return lambda x, tau: velocity(x, tau) * (tau < 0.99)


class Gossip(built_in("sampler", "euler")):
    """Mixes the images of a batch."""

    class Params(built_in("sampler", "euler").Params):
        type: Literal["bad.gossip"] = "bad.gossip"

    def integrate(self, field, x, points, noise):
        return super().integrate(field, x + x.mean(0, keepdim=True), points, noise)


class Unseen(built_in("sampler", "heun")):
    """Goes on from its own states, whatever is made of them."""

    class Params(built_in("sampler", "heun").Params):
        type: Literal["bad.unseen"] = "bad.unseen"

    def integrate(self, field, x, points, noise):
        for now, after in pairwise(points):
            x = x + (after - now) * field(x, now)
            field.stepped(x, after)
        return x


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

    def nfe(self, stage, tau):
        return 1


class Secretive(built_in("guidance", "constant")):
    """Asks for a weaker model and does not say so."""

    class Params(built_in("guidance", "constant").Params):
        type: Literal["bad.secretive"] = "bad.secretive"

    def guide(self, branches):
        return branches.weak

    def nfe(self, stage, tau):
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
        (TooProud, "falls at the stated order, from both sides"),
        (TooHumble, "falls at the stated order, from both sides"),
        (DeafAtFirst, "Close to both ends"),
        (FlipsAtLast, "Close to both ends"),
        (BlowsUp, "Close to both ends"),
        (Middling, "Times close to 0 and close to 1"),
        (LazyAtLast, "nothing to guide"),
        (Unseen, "field.stepped"),
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
