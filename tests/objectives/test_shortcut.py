"""Jumps: the targets are exact for a perfect network, and those of the paper for any."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pixelflow.cli.app import main
from pixelflow.core import plugins
from pixelflow.core.condition import Condition
from pixelflow.core.exactness import GaussianCascade
from pixelflow.core.registry import registry
from pixelflow.core.work import Answer, Origin, StageGroup, Work
from pixelflow.generation.run import Run
from pixelflow.system.errors import SpecError, UsageError
from pixelflow.training.objective import WorkMaker, build_objective, teacher_of
from tests.conftest import lively_model, make_run, make_spec
from tests.training.test_objective import make_batch

plugins.load()


def built(kind: str, name: str):
    return registry.of_kind(kind)[name].cls.Params().build()


@pytest.fixture(scope="module")
def gaussian() -> GaussianCascade:
    return GaussianCascade(built("downsampler", "bilinear"), built("upsampler", "nearest"), 2, (4, 6))


class Perfect(nn.Module):
    """A `Network` that knows the Gaussian's velocities and mean velocities, one image at a time."""

    tap_widths = ()

    def __init__(self, gaussian: GaussianCascade) -> None:
        super().__init__()
        self.model = gaussian._model

    def forward(self, work, *, until=None, taps=(), guidance=None) -> Answer:
        later = [None] * len(work.groups) if until is None else until
        velocities = [self._of(group, own) for group, own in zip(work.groups, later, strict=True)]
        return Answer(work, velocities, {}, self.model.cascade.clean_estimate)

    def _of(self, group, until):
        found = []
        for row, x in enumerate(group.states):
            times = [None if until is None else [until[row][None]], [group.tau[row][None]]]
            found += self.model([x[None]], [group.stage], times[1], Condition(), times[0])
        return torch.cat(found)


def gaussian_work(gaussian: GaussianCascade, count: int = 24) -> Work:
    """Images of the Gaussian, the even ones at the second stage."""
    generator = torch.Generator().manual_seed(0)
    root = torch.linalg.cholesky(gaussian.covariance)
    white = torch.randn(count, 24, generator=generator, dtype=torch.float64)
    images = (white @ root.mT).view(count, 1, 4, 6)
    groups = []
    for stage in reversed(gaussian.cascade.stages):
        members = torch.arange(1 - stage.index, count, 2)
        clean = gaussian.cascade.at_stage(images[members], stage)
        tau = torch.rand(len(members), generator=generator, dtype=torch.float64)
        noise = torch.randn(clean.shape, generator=generator, dtype=torch.float64)
        groups.append(StageGroup(stage, members, tau, *gaussian.cascade.states(clean, noise, tau, stage), clean))
    return Work(groups, [], origin=Origin(count))


def shortcut(network, second, **settings):
    params = registry.of_kind("objective")["shortcut"].cls.Params(**settings)
    return params.build(network=network, second=second, device=torch.device("cpu"))


@pytest.mark.parametrize("teacher", ["ema", {"run": "runs/any"}])
def test_a_perfect_network_has_no_loss_but_the_shortest_steps(gaussian, teacher):
    """Whose mean velocity is by the midpoint method: the squared error falls 16 times when they are halved."""
    perfect, work, worst = Perfect(gaussian), gaussian_work(gaussian), []
    for halvings in (3, 4):
        objective = shortcut(perfect, perfect, velocity_share=0, teacher=teacher, halvings=halvings)
        losses, lengths = torch.cat(objective(work)), torch.cat(objective._lengths(work))
        shortest = 0.5**halvings
        assert set(lengths.tolist()) == {0.5**level for level in range(halvings + 1)}
        assert losses[lengths > shortest].max() < 1e-15
        worst.append(losses[lengths == shortest].mean())
    assert 1e-12 < worst[1] < worst[0] / 8


def test_a_share_of_the_images_learns_the_velocity(gaussian):
    perfect, work = Perfect(gaussian), gaussian_work(gaussian)
    objective = shortcut(perfect, perfect, velocity_share=0.5)
    lengths = objective._lengths(work)
    assert 4 < int((torch.cat(lengths) == 0).sum()) < 20
    plain = registry.of_kind("objective")["flow_matching"].cls.Params().build(network=perfect, device=objective.device)
    for loss, wanted, length in zip(objective(work), plain(work), lengths, strict=True):
        assert torch.equal(loss[length == 0], wanted[length == 0])


def test_steps_lie_within_the_stage_and_begin_at_multiples_of_their_length(gaussian):
    asked = []

    class Seen(Perfect):
        def forward(self, work, *, until=None, taps=(), guidance=None):
            if torch.is_grad_enabled():
                asked.extend(zip(work.groups, until, strict=True))
            return super().forward(work, until=until, taps=taps, guidance=guidance)

    work = gaussian_work(gaussian)
    shortcut(Seen(gaussian), Perfect(gaussian))(work)
    for (group, until), before in zip(asked, work.groups, strict=True):
        length = until - group.tau
        steps = length > 0
        assert ((group.tau >= 0) & (until <= 1)).all()
        assert torch.equal((group.tau / length)[steps], (group.tau / length)[steps].round())
        state = before.states + (group.tau - before.tau).view(-1, 1, 1, 1) * before.targets
        torch.testing.assert_close(group.states, state)


def test_a_runs_guided_velocity_is_what_the_shortest_steps_follow(tmp_path):
    """By hand, one image after the other; longer steps are two of the network's own."""
    run = make_run(tmp_path / "teacher", make_spec())
    spec = make_spec(
        "backbone.until=true",
        f"objective={{type: shortcut, teacher: {run}, guidance: 2, halvings: 1, velocity_share: 0}}",
    )
    model = lively_model(spec, 3)
    objective = build_objective(spec, model, model)
    teacher = teacher_of(objective)
    work = WorkMaker(model, spec, teacher=teacher)(make_batch(spec, 8), 1)
    losses, lengths = objective(work), objective._lengths(work)
    assert set(torch.cat(lengths).tolist()) == {0.5, 1.0}
    for group, loss, length in zip(work.groups, losses, lengths, strict=True):
        for row, member in enumerate(group.members):
            d, stage = length[row], group.stage
            start = (group.tau[row] / d).floor() * d
            x = (group.states[row] + (start - group.tau[row]) * group.targets[row])[None]
            own = [part[member][None] for part in work.conditions]

            def guided(x, tau, stage=stage, own=own):
                null, asked = (teacher([x], [stage], [tau[None]], part)[0] for part in (teacher.null(1), own))
                return null + 2 * (asked - null)

            def mean(x, tau, until, stage=stage, own=own):
                return model([x], [stage], [tau[None]], own, until=[until[None]])[0]

            with torch.no_grad():
                if d == 0.5:
                    wanted = guided(x + d / 2 * guided(x, start), start + d / 2)
                else:
                    first = mean(x, start, start + d / 2)
                    wanted = (first + mean(x + d / 2 * first, start + d / 2, start + d)) / 2
            expected = (mean(x, start, start + d) - wanted).square().mean()
            assert loss[row].item() == pytest.approx(expected.item(), rel=1e-4)
    torch.cat(losses).sum().backward()
    assert all(weight.grad is None for weight in teacher.parameters())
    assert all(weight.grad is not None for weight in model.backbone.until_embedding.parameters())


def test_a_backbone_without_a_second_time_is_refused_with_its_name(tmp_path, tiny_file, capsys):
    options = ["objective=shortcut", "training.steps=1", "--out", str(tmp_path), "--run", "blind", "--device", "cpu"]
    with pytest.raises(SystemExit) as stopped:
        main(["train", str(tiny_file), *options])
    assert stopped.value.code == 2
    assert "backbone dit takes no second time" in capsys.readouterr().err
    run = Run.open(make_run(tmp_path / "run", make_spec("objective=shortcut")), device="cpu")
    with pytest.raises(UsageError, match="backbone dit takes no second time"):
        run.sample(labels=[1], sampler="jump", guidance="none")


def test_jumps_of_a_run_that_was_not_trained_for_them_are_refused(tmp_path):
    run = Run.open(make_run(tmp_path / "run", make_spec("backbone.until=true")), device="cpu")
    with pytest.raises(SpecError, match=r"jump needs a run whose objective trains jumps.*; flow_matching does not"):
        run.sample(labels=[1], sampler="jump")


def test_guided_jumps_combine_mean_velocities(tmp_path):
    """One step over the one stage, from given noise."""
    changes = ("backbone.until=true", "cascade.stages=1", "objective=shortcut")
    run = Run.open(make_run(tmp_path / "run", make_spec(*changes)), device="cpu")
    noise, model = torch.randn(2, 1, 16, 16), run.model
    (stage,), tau = model.cascade.stages, torch.zeros(2)
    prepared = model.prepare({"label": [1, 2]})
    with torch.no_grad():
        null, asked = (model([noise], [stage], [tau], part, [tau + 1])[0] for part in (model.null(2), prepared))
    for scale in (1.0, 3.0):
        drawn = run.sample(
            labels=[1, 2], noise=[noise], sampler="jump", steps=1, guidance={"type": "constant", "scale": scale}
        )
        torch.testing.assert_close(drawn, noise + null + scale * (asked - null), atol=1e-5, rtol=1e-5)
    by_velocity = run.sample(labels=[1, 2], noise=[noise], sampler="euler", steps=1, guidance="none")
    assert not torch.allclose(by_velocity, noise + asked, atol=1e-3)


def test_a_run_learns_jumps_from_another_and_draws_by_them(tmp_path, tiny_file, capsys):
    """Stopped in between, it comes to the same weights."""
    teacher = make_run(tmp_path / "teacher", make_spec(), classes=tuple("0123456789"))
    options = [
        "backbone.until=true",
        f"objective={{type: shortcut, teacher: {teacher}, guidance: 1.5, velocity_share: 0.25}}",
        f"training.init_from={teacher}",
        "training.learning_rate=1e-2",
        "training.samples=2",
        "sampling={sampler: jump, steps: 2, guidance: none}",
        *("--out", str(tmp_path), "--device", "cpu", "--run"),
    ]
    for name, steps in (("whole", 4), ("halved", 2), ("halved", 4)):
        with pytest.raises(SystemExit) as stopped:
            main(["train", str(tiny_file), f"training.steps={steps}", "training.lr_schedule=constant", *options, name])
        assert stopped.value.code == 0, capsys.readouterr().err
    whole, halved = (Run.open(tmp_path / name, device="cpu") for name in ("whole", "halved"))
    drawn = whole.draw(labels=[1, 2], seed=3)
    assert drawn.nfe == (2, 2)
    assert torch.equal(drawn.images, halved.sample(labels=[1, 2], seed=3))
    assert not torch.equal(drawn.images, whole.sample(labels=[1, 2], seed=3, sampler="euler"))
