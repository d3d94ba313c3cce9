"""A model that is being trained is measured as its checkpoint would be, and left as it was."""

from __future__ import annotations

import pytest

from pixelflow.evaluate.generated import Generation
from pixelflow.evaluate.in_training import evaluate_model
from pixelflow.evaluate.inputs import Reference, plain_dataset
from pixelflow.evaluate.measurement import Measurement
from pixelflow.run import Run
from tests.conftest import lively_model, make_run, make_spec


def test_a_model_is_measured_as_its_run_is(tmp_path):
    spec = make_spec("image.size=8", "sampling.steps=1", "evaluation.images=20", "evaluation.metrics=[frechet]")
    data = plain_dataset(spec)
    model = lively_model(spec).train()
    folder = tmp_path / "step-7"
    (result,) = evaluate_model(model, spec, data, folder, step=7)
    assert model.training
    assert not result["higher_is_better"]
    assert [file.name for file in folder.iterdir()] == ["evaluation.json"]

    run = Run.open(make_run(tmp_path / "run", spec))
    generation = Generation(run, spec.sampling, 20, 0)
    list(generation.draw_into(tmp_path / "images"))
    measurement = Measurement.of_run(generation, tmp_path / "images", spec.evaluation, Reference.of(data, 0))
    (expected,) = measurement.measure(measurement.compared(tmp_path, model.device))
    assert result["values"] == pytest.approx(expected["values"], rel=1e-6)


def test_another_step_starts_anew(tmp_path):
    spec = make_spec("image.size=8", "sampling.steps=1", "evaluation.images=8", "evaluation.metrics=[frechet]")
    data = plain_dataset(spec)
    one = evaluate_model(lively_model(spec, 0), spec, data, tmp_path / "a", step=7)
    other = evaluate_model(lively_model(spec, 1), spec, data, tmp_path / "a", step=8)
    assert one[0]["values"] != other[0]["values"]
    assert other[0]["recipe"]["step"] == 8
