"""The loss of held-out images: the same whenever it is measured, and nothing else changes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from pixelflow.core.assembly import build_dataset
from pixelflow.runs import checkpoint
from pixelflow.system.errors import DataError, SpecError
from pixelflow.system.parallel import Parallel
from pixelflow.training.held_out import HeldOutLoss, trained_on
from pixelflow.training.loader import batches
from tests.conftest import lively_model, make_spec

ALONE = Parallel(torch.device("cpu"))


def measured(spec, model=None, seed=0):
    dataset = build_dataset(spec)
    model = model or lively_model(spec, seed)
    return HeldOutLoss(spec, dataset, spec_file(spec), 0).measure(
        lambda: model, lambda: lively_model(spec, 7), 2, ALONE
    )["held_out"]


def spec_file(spec):
    return Path("nowhere") / spec.name


def lines(run, key):
    found = [json.loads(line) for line in run.metrics_file.read_text().splitlines()]
    return [line for line in found if key in line]


def test_it_is_the_same_whatever_the_batch_and_whatever_was_drawn_before():
    spec = make_spec("training.held_out={fraction: 0.02, every: 2}")
    once = measured(spec)
    torch.randn(100)
    again = measured(spec)
    assert once == again
    assert once["images"] == 36
    other = measured(make_spec("training.held_out={fraction: 0.02}", "training.batch_size=5"))
    assert other["loss"] == pytest.approx(once["loss"], rel=1e-5)
    assert once["loss"] != once["averaged_loss"]
    assert once["loss"] == pytest.approx(sum(once["loss_by_stage"]) / 2, rel=1e-6)


def test_it_leaves_the_model_and_the_randomness_alone():
    spec = make_spec("training.held_out=0.02")
    model = lively_model(spec)
    model.train()
    held_out = HeldOutLoss(spec, build_dataset(spec), spec_file(spec), 0)
    torch.manual_seed(5)
    expected = torch.randn(3)
    torch.manual_seed(5)
    held_out.measure(lambda: model, lambda: model, 2, ALONE)
    assert torch.equal(torch.randn(3), expected)
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_held_out_images_are_never_trained_on():
    spec = make_spec("training.held_out=0.3", "data={type: digits}", "image.size=8")
    dataset = build_dataset(spec)
    rest = trained_on(dataset, spec)
    held_out = HeldOutLoss(spec, dataset, spec_file(spec), 0)._images
    assert len(rest) == 1797 - 539
    assert len(held_out) == 512
    assert not set(rest._indices) & set(held_out._indices)
    stream = batches(rest, batch_size=len(rest), seed=0, workers=0, first_step=0, bad_images=0)
    assert sum(len(group.members) for group in next(stream).groups) == len(rest)
    assert rest.classes == dataset.classes
    assert trained_on(dataset, make_spec()) is dataset


def test_other_data_are_named_by_what_differs():
    spec = make_spec("data={type: digits, split: even}", "training.held_out={data: {split: odd}, images: 40}")
    found = measured(spec)
    assert found["images"] == 40
    dataset = build_dataset(spec)
    assert trained_on(dataset, spec) is dataset
    for given, message in (
        ("{data: {split: third}}", "training.held_out.data"),
        ("{data: {colour: red}}", "training.held_out.data"),
        ("{every: 3}", "needs either a fraction or data"),
        ("{fraction: 0.1, data: {split: odd}}", "needs either a fraction or data"),
        ("1.5", "must be less than 1"),
    ):
        with pytest.raises(SpecError, match=message):
            make_spec(f"training.held_out={given}")
    none = make_spec("training.held_out=0.0001")
    with pytest.raises(DataError, match=r"0\.0001 of 1797 images are 0"):
        measured(none)


def test_training_writes_it_once_a_step_also_when_it_goes_on(trained):
    changes = ("training.held_out={fraction: 0.02, every: 2}", "training.save_every=2")
    whole = trained("whole", *changes, "training.steps=5", "name=whole")
    trained("parts", *changes, "training.steps=3", "name=parts")
    parts = trained("parts", *changes, "training.steps=5", "name=parts")
    assert [line["step"] for line in lines(whole, "held_out")] == [2, 4, 5]
    told = {line["step"]: line["held_out"] for line in lines(parts, "held_out")}
    assert [line["step"] for line in lines(parts, "held_out")] == [2, 3, 4, 5]
    assert all(told[line["step"]] == line["held_out"] for line in lines(whole, "held_out"))


def test_measuring_other_data_does_not_change_the_training(trained):
    held_out = "training.held_out={data: {split: odd}, every: 1, images: 9}"
    runs = [trained("plain", "name=plain"), trained("measured", "name=measured", held_out)]
    plain, measured = (checkpoint.load(run.checkpoints, 4, ["model"]).tensors["model"] for run in runs)
    assert all(torch.equal(tensor, measured[name]) for name, tensor in plain.items())
    plain_losses, measured_losses = ([line["loss"] for line in lines(run, "loss")] for run in runs)
    assert plain_losses == measured_losses
