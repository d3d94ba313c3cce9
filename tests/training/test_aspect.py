"""Images that keep their shape: several sizes packed into one batch, without padding, in every part of training."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pixelflow.core import seeds
from pixelflow.core.assembly import build_dataset
from pixelflow.core.sizes import sizes_of
from pixelflow.data.image_folder import ImageFolder
from pixelflow.evaluation.inputs import plain_dataset
from pixelflow.generation.run import Run
from pixelflow.runs import checkpoint
from pixelflow.system.errors import PreemptedError, SpecError
from pixelflow.training.loader import Batch, batches, grouped
from pixelflow.training.objective import WorkMaker, build_objective
from tests.conftest import lively_model, make_spec
from tests.training.test_resume import assert_same, stop_at

ASPECT = (
    "image={size: 16, channels: 3, max_aspect: 2}", "data={type: shapes, count: 40}", "cascade.stages=2",
    "conditioners=[{type: bytes, dim: 16, depth: 1, heads: 2, max_bytes: 64}]", "training.learning_rate=1e-3",
)  # fmt: skip
SIZES = sizes_of((16, 16), 4, 2.0)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.sampled_from(SIZES), min_size=1, max_size=9), st.integers(1, 3))
def test_a_mixed_batch_has_the_losses_of_its_images_alone(sizes, parts):
    """One image at a time, from the paper's equations, against the packed batch in any number of parts."""
    spec = make_spec("image.max_aspect=2")
    model = lively_model(spec).train()
    images = [torch.rand(1, *size, generator=seeds.generator(0, "image", i)) * 2 - 1 for i, size in enumerate(sizes)]
    work = WorkMaker(model, spec)(Batch(grouped(images), {"label": [i % 10 for i in range(len(sizes))]}), 5)
    seen = []
    for part in work.parts(parts):
        for group, losses in zip(part.groups, build_objective(spec, model, model)(part), strict=True):
            for row, place in enumerate(group.members.tolist()):
                assert group.states.shape[-2:] == tuple(side >> group.stage.halvings for side in sizes[place])
                condition = model.condition([work.conditions[0][place : place + 1]])
                (velocity,) = model([group.states[row : row + 1]], [group.stage], [group.tau[row : row + 1]], condition)
                expected = (velocity - group.targets[row]).square().mean()
                assert losses[row].item() == pytest.approx(expected.item(), abs=1e-5, rel=1e-5)
                seen.append(place)
    assert sorted(seen) == list(range(len(sizes)))


def test_a_packed_batch_of_mixed_shapes_gives_the_velocities_of_each_image_alone():
    spec = make_spec("image.max_aspect=2")
    model = lively_model(spec).eval()
    stages = [model.cascade.stages[index % 2] for index in range(len(SIZES))]
    torch.manual_seed(0)
    images = [torch.randn(2, 1, *model.cascade.size(s, *size)) for s, size in zip(stages, SIZES, strict=True)]
    tau = [torch.rand(2) for _ in images]
    condition = model.condition(model.prepare({"label": [i % 10 for i in range(2 * len(images))]}))
    with torch.no_grad():
        together = model(images, stages, tau, condition)
        for index, (x, stage, t) in enumerate(zip(images, stages, tau, strict=True)):
            alone = model([x], [stage], [t], condition.at(slice(2 * index, 2 * index + 2)))[0]
            torch.testing.assert_close(together[index], alone, rtol=0, atol=1e-5)


def test_the_resolution_embedding_of_a_wide_image_is_that_of_the_square_of_as_many_tokens():
    model = lively_model(make_spec("backbone.depth=1"))
    seen = []
    model.backbone.size_embedding.register_forward_pre_hook(lambda _, given: seen.append(given[0].item()))
    condition = model.condition(model.prepare({"label": [1]}))
    for size in ((8, 8), (4, 16), (16, 4), (8, 12)):
        model([torch.zeros(1, 1, *size)], [model.cascade.stages[1]], [torch.zeros(1)], condition)
    assert seen == [4.0, 4.0, 4.0, pytest.approx(24**0.5)]


def test_pictures_get_the_size_of_their_shape_and_lose_little(tmp_path):
    shapes = {"a": (90, 60), "b": (60, 90), "c": (50, 50), "d": (300, 40)}
    for name, (width, height) in shapes.items():
        Image.linear_gradient("L").resize((width, height)).save(tmp_path / f"{name}.png")
    spec = make_spec("image={size: 32, channels: 1, max_aspect: 2}", f"data={{type: image_folder, root: '{tmp_path}'}}")
    found = [tuple(build_dataset(spec).sample(index, seeds.generator(0, "x")).image.shape) for index in range(4)]
    assert found == [(1, 28, 40), (1, 40, 28), (1, 32, 32), (1, 24, 44)]


@pytest.mark.parametrize("workers", [0, 2])
def test_the_stream_of_mixed_sizes_starts_at_any_step(workers):
    spec = make_spec(*ASPECT)

    def take(first: int, count: int) -> list[Batch]:
        stream = batches(build_dataset(spec), batch_size=6, seed=0, workers=workers, first_step=first, bad_images=0)
        return list(itertools.islice(stream, count))

    whole, part = take(0, 9)[7:], take(7, 2)
    for one, other in zip(whole, part, strict=True):
        assert one.values == other.values
        assert sum(len(group.members) for group in one.groups) == 6
        assert len(one.groups) > 1
        for a, b in zip(one.groups, other.groups, strict=True):
            assert torch.equal(a.pixels, b.pixels)
            assert torch.equal(a.members, b.members)


def test_a_run_on_mixed_sizes_stops_goes_on_and_draws_any_size(trained, tmp_path, monkeypatch):
    options = (
        *ASPECT,
        "training.steps=4",
        "training.grad_accumulation=2",
        "training.sample_every=4",
        "training.samples=2",
    )
    whole = trained("whole", *options)
    with monkeypatch.context() as patch:
        stop_at(patch, 2)
        with pytest.raises(PreemptedError):
            trained("parts", *options)
    assert_same(whole, trained("parts", *options))
    assert checkpoint.steps(whole.checkpoints)[-1] == 4
    images = Run.open(whole.path).sample(prompts=["a red circle"], size=(12, 24), guidance=2.0)
    assert images.shape == (1, 3, 12, 24)


def test_data_of_one_shape_are_refused():
    with pytest.raises(SpecError, match="max_aspect: the images of the data set digits have one shape"):
        build_dataset(make_spec("image.max_aspect=2"))


def test_evaluation_reads_the_data_at_the_nominal_size():
    data = plain_dataset(make_spec(*ASPECT))
    assert {tuple(data.sample(index, torch.Generator()).image.shape) for index in range(10)} == {(3, 16, 16)}


def test_without_an_aspect_every_picture_has_the_size(tmp_path: Path):
    Image.new("RGB", (90, 30)).save(tmp_path / "a.png")
    folder = ImageFolder(ImageFolder.Params(root=tmp_path), height=8, width=12, channels=3)
    assert folder.sample(0, torch.Generator()).image.shape == (3, 8, 12)
