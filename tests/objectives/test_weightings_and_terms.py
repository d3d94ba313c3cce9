"""Weightings against the literature's definitions, terms, second networks, and what an objective keeps."""

from __future__ import annotations

import math

import pytest
import torch

from pixelflow.core import plugins
from pixelflow.core.assembly import build_model
from pixelflow.core.registry import registry
from pixelflow.core.schedule import make_stages
from pixelflow.runs import checkpoint
from pixelflow.system.errors import DataError, MissingInputError, UsageError
from pixelflow.training.loader import Batch
from pixelflow.training.objective import WorkMaker, build_objective, own_weights, taught_labels, teacher_of
from tests.conftest import CLASSES, lively_model, make_run, make_spec
from tests.training.test_objective import make_batch

plugins.load()
TAU = torch.linspace(0.05, 0.95, 7, dtype=torch.float64)


def weights(name, stage, **settings):
    return registry.of_kind("weighting")[name].cls.Params(**settings).build().weights(TAU, stage)


def levels(stage):
    """Factors of image and noise in a state, and the error of the clean image for one of the velocity of 1."""
    b = TAU * (1 - stage.end) + (1 - TAU) * (1 - stage.start)
    return 1 - b, b, b / (stage.end - stage.start)


@pytest.mark.parametrize("stages", [1, 3])
def test_min_snr_weighs_the_clean_images_error_as_its_paper_does(stages):
    for stage in make_stages(stages, 2.0):
        a, b, error = levels(stage)
        snr = (a / b) ** 2
        torch.testing.assert_close(weights("min_snr", stage, gamma=5), snr.clamp(max=5) * error**2)
        torch.testing.assert_close(weights("soft_min_snr", stage, gamma=4), 4 * snr / (snr + 4) * error**2)


@pytest.mark.parametrize("stages", [1, 3])
def test_the_sigmoid_weighs_the_noises_error_along_the_log_snr(stages):
    """With the rise of the log-SNR measured, not derived."""
    for stage in make_stages(stages, 2.0):
        tau = TAU.clone().requires_grad_()
        b = tau * (1 - stage.end) + (1 - tau) * (1 - stage.start)
        log_snr = 2 * ((1 - b) / b).log()
        (rise,) = torch.autograd.grad(log_snr.sum(), tau)
        error_of_noise = (1 - b) / (stage.end - stage.start)
        expected = torch.sigmoid(-2.0 - log_snr) * rise * error_of_noise**2
        torch.testing.assert_close(weights("sigmoid", stage, bias=-2.0), expected.detach())


def test_by_stage_takes_one_factor_a_stage():
    first, second = make_stages(2, 2.0)
    assert weights("by_stage", second, factors=(1.0, 3.0)).tolist() == [3.0] * len(TAU)
    length = first.end - first.start
    assert weights("by_stage", first)[0].item() == pytest.approx(length**-2)


def loss_of(*overrides, seed=0):
    spec = make_spec(*overrides)
    model = lively_model(spec, seed)
    work = WorkMaker(model, spec)(make_batch(spec, 6), 3)
    return build_objective(spec, model, model)(work), work


def test_a_weighting_multiplies_each_images_loss():
    plain, work = loss_of()
    weighted, _ = loss_of("objective.weighting={type: by_stage, factors: [2, 0.5]}")
    for one, other, group in zip(plain, weighted, work.groups, strict=True):
        torch.testing.assert_close(other, one * (0.5 if group.stage.index else 2))


def test_terms_add_up_and_vanish_where_the_estimate_is_perfect():
    plain, _ = loss_of()
    both, _ = loss_of("objective.terms=[{type: perceptual, scale: 2}, {type: perceptual, scale: 1}]")
    one, _ = loss_of("objective.terms=[perceptual]")
    for base, single, triple in zip(plain, one, both, strict=True):
        assert (single > base).all()
        torch.testing.assert_close(triple - base, 3 * (single - base), rtol=1e-4, atol=1e-5)


def test_the_perceptual_term_of_the_true_velocity_is_zero():
    from pixelflow.core.work import Answer

    spec = make_spec("cascade.stages=3")
    model = build_model(spec)
    work = WorkMaker(model, spec)(make_batch(spec, 6), 3)
    term = registry.of_kind("term")["perceptual"].cls.Params().build(device=torch.device("cpu"), tap_widths=())
    perfect = Answer(work, [group.targets for group in work.groups], {}, model.cascade.clean_estimate)
    assert torch.cat(term(perfect)).abs().max() < 1e-6
    wrong = Answer(work, [group.targets + 0.5 for group in work.groups], {}, model.cascade.clean_estimate)
    assert torch.cat(term(wrong)).min() > 1e-4


def test_extractors_without_gradients_are_refused():
    with pytest.raises(UsageError, match="pixels_pca lets no gradients through"):
        loss_of("objective.terms=[{type: perceptual, extractor: pixels_pca}]")
    with pytest.raises(UsageError, match="taps block 9, but the network has 2 taps"):
        loss_of("objective.terms=[{type: alignment, tap: 9}]")


ALIGNED = ("objective.terms=[{type: alignment, tap: 1, hidden: 8}]", "training.weight_decay=0.1")


def test_weights_of_an_objective_are_trained_kept_and_resumed_bitwise(trained):
    whole = trained("whole", *ALIGNED)
    parts = trained("parts", *ALIGNED, "training.steps=2")
    begun = checkpoint.load(parts.checkpoints, parts=("objective",)).tensors["objective"]
    trained("parts", *ALIGNED)
    names = ("model", "objective", "optimizer")
    one, other = (checkpoint.load(run.checkpoints, parts=names).tensors for run in (whole, parts))
    assert all(torch.equal(one[part][name], other[part][name]) for part in names for name in one[part])
    assert all(not torch.equal(begun[name], one["objective"][name]) for name in begun)
    assert {name for name in one["optimizer"] if "objective." in name}


TAUGHT = "objective={{type: taught, teacher: {run}}}"


def test_a_second_network_is_asked_and_not_trained(tmp_path):
    """Guidance at weight 1 is the condition's velocity, at 0 the null's; nothing of it is trained or trains."""
    run = make_run(tmp_path / "teacher", make_spec())
    spec = make_spec()
    params = spec.objective
    asked = _asking(params, run)
    spec = spec.model_copy(update={"objective": asked})
    model = lively_model(spec, 5)
    objective = build_objective(spec, model, model)
    work = WorkMaker(model, spec, teacher=teacher_of(objective))(make_batch(spec, 6), 1)
    plain, one, null, twice = (objective.teacher(work, guidance=w).velocities for w in (None, 1.0, 0.0, 2.0))
    for p, o, n, t in zip(plain, one, null, twice, strict=True):
        torch.testing.assert_close(p, o, rtol=0, atol=1e-5)
        torch.testing.assert_close(t, 2 * p - n, rtol=0, atol=1e-5)
    assert not own_weights(objective)
    objective.train()
    assert not any(module.training for module in objective.teacher.modules())
    assert not plain[0].requires_grad


def test_a_teacher_is_asked_by_the_names_of_classes(tmp_path):
    """Its list is in another order: by number it would teach each class as another one."""
    run = make_run(tmp_path / "teacher", make_spec(), classes=CLASSES[::-1])
    spec = make_spec()
    spec = spec.model_copy(update={"objective": _asking(spec.objective, run)})
    model = lively_model(spec, 5)
    objective, batch = build_objective(spec, model, model), make_batch(spec, 6)
    teacher, taught = teacher_of(objective), taught_labels(objective, CLASSES)
    by_name = WorkMaker(model, spec, teacher=teacher, taught=taught)(batch, 1)
    others = Batch(batch.groups, {"label": [9 - label for label in batch.values["label"]]})
    by_number = WorkMaker(model, spec, teacher=teacher)(others, 1)
    assert torch.equal(by_name.teacher_conditions[0], by_number.teacher_conditions[0])
    assert torch.equal(by_name.conditions[0], WorkMaker(model, spec)(batch, 1).conditions[0])
    assert taught_labels(objective, CLASSES[::-1]) is None
    assert taught_labels(objective, ()) is None
    with pytest.raises(DataError, match="does not know these classes of the training data: eleventh"):
        taught_labels(objective, (*CLASSES, "eleventh"))
    with pytest.raises(DataError, match=r"in the training data alone, .* in the teacher alone"):
        taught_labels(objective, tuple("abcdefghij"))


def test_a_teacher_without_names_needs_as_many_classes(tmp_path, caplog):
    run = make_run(tmp_path / "teacher", make_spec(), classes=())
    spec = make_spec()
    spec = spec.model_copy(update={"objective": _asking(spec.objective, run)})
    model = lively_model(spec)
    objective = build_objective(spec, model, model)
    assert taught_labels(objective, CLASSES) is None
    assert "classes in the teacher have no names and go by number: 0 is 'class 0' in the training data" in caplog.text
    with pytest.raises(DataError, match="knows 10 classes without names, and the training data 9"):
        taught_labels(objective, CLASSES[:9])


def test_a_second_network_that_does_not_fit_is_refused(tmp_path):
    run = make_run(tmp_path / "teacher", make_spec("cascade.stages=1"))
    spec = make_spec()
    model = lively_model(spec)
    with pytest.raises(UsageError, match="has another cascade"):
        build_objective(spec.model_copy(update={"objective": _asking(spec.objective, run)}), model, model)
    with pytest.raises(MissingInputError, match="nowhere"):
        build_objective(
            spec.model_copy(update={"objective": _asking(spec.objective, tmp_path / "nowhere")}), model, model
        )


def _asking(params, run):
    """The settings of the objective, but that a second network is asked."""
    from pixelflow.core.teacher import Teacher

    class Asking(type(params)):
        component = params.component

        @property
        def second_network(self):
            return Teacher(run=run)

    return Asking.model_construct(**dict(params))


def test_the_average_can_be_the_second_network():
    from pixelflow.runs.ema import Ema

    spec = make_spec()
    model = lively_model(spec)

    class Asking(type(spec.objective)):
        component = spec.objective.component

        @property
        def second_network(self):
            return "ema"

    spec = spec.model_copy(update={"objective": Asking.model_construct(**dict(spec.objective))})
    ema = Ema(model, 0.5)
    objective = build_objective(spec, model, ema.model)
    assert teacher_of(objective) is ema.model


def test_log_weights_are_finite_at_the_ends_of_time():
    for name in ("min_snr", "soft_min_snr", "sigmoid"):
        for stage in make_stages(4, 2.0):
            ends = registry.of_kind("weighting")[name].cls.Params().build().weights(torch.tensor([0.0, 1.0]), stage)
            assert all(math.isfinite(weight) and weight >= 0 for weight in ends.tolist()), name
