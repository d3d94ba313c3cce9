"""Other widths, patch sizes, stage counts, step lists and aspect ratios than the recorded ones."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from pixelflow.core import reading
from pixelflow.core.assembly import build_model
from pixelflow.core.document import parse
from pixelflow.core.schedule import make_stages
from pixelflow.core.spec import ExperimentSpec
from pixelflow.generation.orders import WeightsSource
from pixelflow.generation.run import Run
from pixelflow.official.weights import name_table, to_official
from tests.golden.plain import Plain, schedule

TOLERANCE = 1e-4


def lively(spec: str) -> tuple[Run, Plain]:
    """A run of random weights, and the plain model of the same."""
    validated = reading.validate(ExperimentSpec, parse(spec, "test"))
    torch.manual_seed(0)
    model = build_model(validated)
    for name, parameter in model.named_parameters():
        if not parameter.any() or name.endswith("norm.weight"):
            torch.nn.init.normal_(parameter, mean=float(name.endswith("norm.weight")), std=0.1)
    backbone: Any = validated.backbone
    table = name_table(
        backbone.depth,
        validated.patches[0],
        has_text=backbone.text_dim is not None,
        has_labels=bool(validated.conditioners),
    )
    state = to_official({k: v.double() for k, v in model.state_dict().items()}, table, validated.patches[0])
    run = Run(validated, model, (), WeightsSource(run="other", step=0, weights="ema", sha256=""))
    return run, Plain(state, backbone.heads, validated.patches[0], backbone.depth)


def spec_text(size: str, stages: int, patch: int, heads: int, head_dim: int, text: bool = False) -> str:
    context = ", text_dim: 10" if text else ""
    conditioners = "" if text else "conditioners: [{type: class_label, classes: 7}]"
    return f"""
        name: other
        image: {{size: {size}}}
        data: digits
        cascade: {{stages: {stages}, patch: {patch}}}
        backbone: {{type: dit, depth: 2, heads: {heads}, head_dim: {head_dim}{context}}}
        {conditioners}
    """


@pytest.mark.parametrize("stages", [1, 2, 3, 5, 6, 7])
def test_schedule(stages: int) -> None:
    for stage, row in zip(make_stages(stages, 2.0), schedule(stages), strict=True):
        found = (
            stage.previous_end,
            stage.start,
            stage.end,
            stage.alpha,
            stage.network_time(0),
            stage.network_time(0.999),
        )
        wanted = tuple(row[key] for key in ("p", "s", "e", "alpha", "first", "last"))
        assert found == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize(
    ("size", "stages", "patch", "heads", "head_dim"),
    [("8", 1, 2, 1, 8), ("[8, 16]", 2, 2, 3, 4), ("[24, 12]", 2, 3, 2, 12), ("16", 3, 1, 4, 16)],
)
def test_class_forward(size: str, stages: int, patch: int, heads: int, head_dim: int) -> None:
    run, plain = lively(spec_text(size, stages, patch, heads, head_dim))
    for stage in run.model.cascade.stages:
        height, width = run.model.cascade.size(stage, *run.spec.image.size)
        x = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(stage.index))
        times = torch.tensor([stage.network_time(0.1), stage.network_time(0.9)])
        found = torch.stack([run.velocity(x[:1], times[0], labels=2)[0], run.velocity(x[1:], times[1])[0]])
        for index, label in enumerate((2, 7)):  # of seven classes the row 7 stands for none
            wanted = plain.velocity(x[index].double(), float(times[index]), label)
            torch.testing.assert_close(found[index].double(), wanted, rtol=0, atol=TOLERANCE)


def test_text_forward() -> None:
    run, plain = lively(spec_text("[8, 12]", 2, 2, 2, 8, text=True))
    generator = torch.Generator().manual_seed(0)
    x, text = torch.randn(2, 3, 8, 12, generator=generator), torch.randn(2, 6, 10, generator=generator)
    mask = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 0, 0, 1, 0]])
    found = run.velocity(x, 700.0, text=text, mask=mask)
    for index in range(2):
        wanted = plain.velocity(x[index].double(), 700.0, text=text[index].double(), mask=mask[index])
        torch.testing.assert_close(found[index].double(), wanted, rtol=0, atol=TOLERANCE)


def test_a_mask_of_nothing_attends_to_everything_as_in_the_release() -> None:
    """It adds -10,000 to masked scores, to all alike; float32 then rounds them to thousandths."""
    run, plain = lively(spec_text("8", 1, 2, 2, 8, text=True))
    x, text = torch.randn(1, 3, 8, 8), torch.randn(1, 6, 10)
    found, everything = (run.velocity(x, 300.0, text=text, mask=torch.full((1, 6), number)) for number in (0, 1))
    wanted = plain.velocity(x[0].double(), 300.0, text=text[0].double(), mask=torch.zeros(6))
    torch.testing.assert_close(found[0].double(), wanted, rtol=0, atol=2e-3)
    torch.testing.assert_close(found, everything, rtol=0, atol=2e-3)


@pytest.mark.parametrize(
    ("size", "stages", "patch", "steps"),
    [("8", 1, 2, [3]), ("[16, 8]", 2, 2, [1, 4]), ("8", 3, 1, [2, 3, 1]), ("16", 5, 1, [2, 1, 2, 1, 1])],
)
def test_euler_samples(size: str, stages: int, patch: int, steps: list[int]) -> None:
    run, plain = lively(spec_text(size, stages, patch, 2, 8))
    cascade, generator = run.model.cascade, torch.Generator().manual_seed(1)
    sizes = [cascade.size(stage, *run.spec.image.size) for stage in cascade.stages]
    noise = [torch.randn(2, 3, *pixels, generator=generator) for pixels in sizes]
    found = run.sample(labels=[0, 5], noise=noise, steps=steps, sampler="euler", grid="official", guidance=2.0)
    for index, label in enumerate((0, 5)):
        own = [part[index].double() for part in noise]
        wanted = plain.euler(own, steps, [2.0] * stages, {"label": label}, {"label": 7})
        torch.testing.assert_close(found[index].double(), wanted, rtol=0, atol=TOLERANCE)
