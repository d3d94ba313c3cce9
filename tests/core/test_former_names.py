"""Methods and attributes of components by the names of earlier versions: plugins define and ask for them still."""

from __future__ import annotations

from typing import Literal

import pytest

from pixelflow import contracts
from pixelflow.core.interfaces import Branches, Guidance, Sampler, Velocity
from pixelflow.core.schedule import Stage, make_stages
from pixelflow.guidance.classifier_free import ConstantGuidance
from pixelflow.samplers.heun import Heun

STAGE = make_stages(2, 2.0)[1]


class Former(Guidance):
    """As plugins of earlier versions were written."""

    class Params(Guidance.Params):
        type: Literal["former.guidance"] = "former.guidance"

    @property
    def uses_null(self) -> bool:
        return False

    def guide(self, branches: Branches) -> Velocity:
        return branches.conditional

    def evaluations(self, stage: Stage, tau: float) -> int:
        return 1


class Dearer(ConstantGuidance):
    """Overrides a built-in one, and asks it, by the former name."""

    class Params(ConstantGuidance.Params):
        type: Literal["former.dearer"] = "former.dearer"  # type: ignore[assignment]

    def evaluations(self, stage: Stage, tau: float) -> int:
        return 10 + super().evaluations(stage, tau)  # type: ignore[misc]


class Slow(Heun):
    """States its cost by the former name."""

    class Params(Heun.Params):
        type: Literal["former.slow"] = "former.slow"  # type: ignore[assignment]

    evaluations_per_step = 3


@pytest.mark.parametrize(("cls", "nfe"), [(Former, 1), (Dearer, 12), (ConstantGuidance, 2)])
def test_a_guidance_counts_by_either_name(cls: type[Guidance], nfe: int):
    guidance: Guidance = cls.Params().build()
    assert guidance.nfe(STAGE, 0.5) == nfe
    assert guidance.evaluations(STAGE, 0.5) == nfe  # type: ignore[attr-defined]


def test_a_guidance_of_an_earlier_version_keeps_its_promises():
    assert all(outcome.status == "kept" for outcome in contracts.check(Former.Params()))


def test_a_sampler_states_its_cost_by_either_name():
    assert (Slow.nfe_per_step, Heun.nfe_per_step) == (3, 2)
    assert (Slow.evaluations_per_step, Heun.evaluations_per_step) == (3, 2)  # type: ignore[attr-defined]


@pytest.mark.parametrize(("kind", "lacks"), [(Guidance, "nfe"), (Sampler, "integrate")])
def test_what_is_lacking_has_its_present_name(kind: type, lacks: str):
    class Empty(kind):  # type: ignore[misc]
        """Nothing is there."""

    with pytest.raises(TypeError, match=lacks):
        Empty(kind.Params())
