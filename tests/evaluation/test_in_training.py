"""A model that is being trained is measured as its checkpoint would be, and left as it was."""

from __future__ import annotations

import json
from collections import defaultdict

import pytest
import torch

from pixelflow.data.digits import Digits
from pixelflow.evaluation.generated import Generation
from pixelflow.evaluation.in_training import evaluate_model
from pixelflow.evaluation.inputs import Reference, plain_dataset
from pixelflow.evaluation.measurement import Measurement
from pixelflow.generation.pictures import to_pil
from pixelflow.generation.run import Run
from pixelflow.system.errors import DataError
from tests.conftest import lively_model, make_run, make_spec


def test_a_model_is_measured_as_its_run_is(tmp_path):
    spec = make_spec("image.size=8", "sampling.steps=1", "evaluation.images=20", "evaluation.metrics=[frechet]")
    data = plain_dataset(spec)
    model = lively_model(spec).train()
    folder = tmp_path / "step-7"
    (result,) = evaluate_model(model, spec, data, folder, step=7, classes=data.classes)
    assert model.training
    assert not result.higher_is_better
    assert [file.name for file in folder.iterdir()] == ["evaluation.json"]

    run = Run.open(make_run(tmp_path / "run", spec))
    generation = Generation(run, spec.sampling, 20, 0)
    list(generation.draw_into(tmp_path / "images"))
    measurement = Measurement.of_run(generation, tmp_path / "images", spec.evaluation, Reference.of(data, 0))
    (outcome,) = measurement.measure(measurement.compared(tmp_path, model.device))
    assert result.values == pytest.approx(outcome.result.values, rel=1e-6)


def test_labels_are_the_runs_and_not_the_datas(tmp_path):
    """Real digits in place of drawn ones, which the run lists backwards: all are what they were asked to be."""
    spec = make_spec("image.size=8", "evaluation.metrics=[label_agreement]", "evaluation.images=100")
    data = plain_dataset(spec)
    run = Run.open(make_run(tmp_path / "run", spec, classes=tuple("9876543210")))
    generation = Generation(run, spec.sampling, 100, 0)
    by_digit = defaultdict(list)
    for index in range(len(data)):
        sample = data.sample(index, torch.Generator())
        by_digit[sample.label].append(sample.image)
    images = [by_digit[int(run.classes[label])].pop() for label in generation.labels]
    (tmp_path / "images").mkdir()
    for index, picture in enumerate(to_pil(torch.stack(images))):
        picture.save(tmp_path / "images" / f"{index:06}.png")
    measurement = Measurement.of_run(generation, tmp_path / "images", spec.evaluation, Reference.of(data, 0))
    (outcome,) = measurement.measure(measurement.compared(tmp_path, torch.device("cpu")))
    assert outcome.result.values["agreement"] > 0.9
    assert measurement.notes == (
        "the generated images and the real ones list the classes in different orders; names count",
    )


def test_another_step_starts_anew(tmp_path):
    spec = make_spec("image.size=8", "sampling.steps=1", "evaluation.images=8", "evaluation.metrics=[frechet]")
    data = plain_dataset(spec)
    one = evaluate_model(lively_model(spec, 0), spec, data, tmp_path / "a", step=7, classes=data.classes)
    other = evaluate_model(lively_model(spec, 1), spec, data, tmp_path / "a", step=8, classes=data.classes)
    assert one[0].values != other[0].values
    assert other[0].recipe["step"] == 8


def test_a_metric_that_fails_does_not_end_the_training_nor_lose_the_others(tmp_path, caplog):
    spec = make_spec(
        "image.size=8", "sampling.steps=1", "evaluation.images=8", "conditioners=[]", "sampling.guidance=none",
        "evaluation.metrics=[frechet, label_agreement]",
    )  # fmt: skip
    data = plain_dataset(spec)
    (result,) = evaluate_model(lively_model(spec), spec, data, tmp_path / "a", step=7, classes=data.classes)
    assert result.metric.startswith("frechet")
    (message,) = caplog.messages
    assert message.startswith("evaluation at step 7: label_agreement needs labels")
    record = json.loads((tmp_path / "a" / "evaluation.json").read_text())
    assert [bool(one["values"]) for one in record["results"]] == [True, False]
    assert "needs labels" in record["results"][1]["error"]
    turned = spec.evaluation.model_copy(update={"metrics": spec.evaluation.metrics[::-1]})
    main_fails = spec.model_copy(update={"evaluation": turned})
    with pytest.raises(DataError, match="needs labels"):  # which step is best is then not known
        evaluate_model(lively_model(spec), main_fails, data, tmp_path / "b", step=7, classes=data.classes)
    record = json.loads((tmp_path / "b" / "evaluation.json").read_text())
    assert [bool(one["values"]) for one in record["results"]] == [False, True]


def test_an_evaluation_removes_nothing_that_it_did_not_make(tmp_path):
    spec = make_spec("image.size=8", "sampling.steps=1", "evaluation.images=8", "evaluation.metrics=[frechet]")
    (tmp_path / "notes.txt").write_text("mine")
    evaluate_model(lively_model(spec), spec, plain_dataset(spec), tmp_path, step=7, classes=Digits.classes)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evaluation.json", "notes.txt"]
