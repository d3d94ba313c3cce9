"""Evaluations while training: what they write and keep, and that they leave the training alone."""

from __future__ import annotations

import json
import os
import signal

import pytest
import torch

import pixelflow
from pixelflow.data.digits import Digits
from pixelflow.evaluation import in_training
from pixelflow.runs import checkpoint, history
from pixelflow.runs.history import Evaluated
from pixelflow.system.errors import DataError, MissingDependencyError, MissingInputError, PreemptedError
from pixelflow.training.evaluations import Evaluations
from tests.training.conftest import lines_of
from tests.training.test_resume import PARTS, assert_same

EVERY = (
    "evaluation={every: 2, images: 8, metrics: [{type: frechet, extractor: {type: pixels_pca, components: 2}}]}",
    "training.steps=6", "training.save_every=100", "training.keep=1", "image.size=8",
)  # fmt: skip


def evaluated_steps(run) -> list[int]:
    return [line["step"] for line in lines_of(run) if "evaluation" in line]


def test_figures_are_in_the_metrics_and_records_in_the_run(trained, capsys):
    run = trained("run", *EVERY)
    assert evaluated_steps(run) == [2, 4, 6]
    (line,) = [line for line in lines_of(run) if "evaluation" in line and line["step"] == 4]
    (result,) = line["evaluation"]["results"]
    record = json.loads((run.evaluations / "step-00000004" / "evaluation.json").read_text())
    assert record["results"][0]["values"] == result["values"]
    assert (result["higher_is_better"], line["evaluation"]["images"]) == (False, 8)
    assert sorted(path.name for path in (run.evaluations / "step-00000004").iterdir()) == ["evaluation.json"]
    value = next(iter(result["values"].values()))
    assert f"step 4: {result['metric']} {value:.4g} (best" in capsys.readouterr().err.replace(" (best)", " (best")


def test_the_classes_are_the_runs_where_the_data_list_them_otherwise(trained, monkeypatch):
    """The data are opened anew to evaluate, in whatever order they list their classes then."""
    options = ("image.size=8", "sampling.steps=1", "evaluation.metrics=[label_agreement]", "evaluation.images=20")
    trained("run", *options, "training.steps=2")
    monkeypatch.setattr(Digits, "classes", Digits.classes[::-1])
    run = trained("run", *options, "evaluation.every=4")
    record = json.loads((run.evaluations / "step-00000004" / "evaluation.json").read_text())
    assert record["notes"] == [
        "the generated images and the real ones list the classes in different orders; names count"
    ]


def better_at(monkeypatch: pytest.MonkeyPatch, best: int) -> None:
    """Figures by which one step is the best, of real images."""
    original = in_training.evaluate_model

    def judged(*arguments, step: int, **options):
        results = original(*arguments, step=step, **options)
        return [results[0].model_copy(update={"values": {"distance": float(abs(step - best))}}), *results[1:]]

    monkeypatch.setattr(in_training, "evaluate_model", judged)


@pytest.mark.parametrize("best", [2, 4, 6])
def test_the_best_checkpoint_is_kept_and_found(trained, monkeypatch, best):
    better_at(monkeypatch, best)
    run = trained("run", *EVERY)
    assert checkpoint.steps(run.checkpoints) == sorted({best, 6})
    assert pixelflow.load(run.path, step="best").step == best


def test_without_evaluations_there_is_no_best(trained):
    run = trained("run", "training.steps=2", "image.size=8")
    with pytest.raises(MissingInputError, match=r"none is best; train with evaluation\.every=N"):
        pixelflow.load(run.path, step="best")


def test_evaluations_do_not_touch_the_training(trained):
    plain, watched = trained("plain", *EVERY, "evaluation.every=null"), trained("watched", *EVERY)
    a, b = (checkpoint.load(run.checkpoints, parts=PARTS).tensors for run in (plain, watched))
    assert all(torch.equal(a[part][name], b[part][name]) for part in PARTS for name in a[part])
    assert lines_of(plain) == [line for line in lines_of(watched) if "evaluation" not in line]


def test_a_stop_in_an_evaluation_loses_nothing_and_repeats_nothing(trained, tmp_path, monkeypatch):
    whole, drawn = trained("whole", *EVERY), []
    original = Evaluations.measure

    def stopped(self, model, step, parallel):
        drawn.append(step)
        if drawn == [2, 4]:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self, model, step, parallel)

    monkeypatch.setattr(Evaluations, "measure", stopped)
    with pytest.raises(PreemptedError, match="after step 4 and saved"):
        trained("parts", *EVERY)
    assert evaluated_steps(tmp_path / "parts") == [2]
    assert_same(whole, trained("parts", *EVERY))
    assert drawn == [2, 4, 4, 6]


def test_a_finished_run_is_evaluated_where_that_is_asked_for_later(trained):
    trained("run", *EVERY, "evaluation.every=null")
    run = trained("run", *EVERY)
    assert evaluated_steps(run) == [6]


def test_what_cannot_be_measured_ends_training_with_its_checkpoint(trained, tmp_path):
    with pytest.raises(DataError, match="label_agreement"):
        trained("run", *EVERY, "evaluation.metrics=[label_agreement]", "conditioners=[]", "sampling.guidance=none")
    assert checkpoint.steps(tmp_path / "run" / "checkpoints") == [2]


@pytest.mark.parametrize(
    ("lacking", "error"),
    [("metrics=[fid]", MissingDependencyError), ("reference=nowhere", MissingInputError)],
)
def test_what_an_evaluation_lacks_is_known_before_the_first_step(trained, tmp_path, monkeypatch, lacking, error):
    monkeypatch.setenv("PIXELFLOW_WEIGHTS", str(tmp_path))
    with pytest.raises(error):
        trained("run", *EVERY, f"evaluation.{lacking}")
    assert not checkpoint.steps(tmp_path / "run" / "checkpoints")


def figures(*values: float, metric: str = "frechet", higher: bool = False, images: int = 8) -> list[Evaluated]:
    return [Evaluated(step, metric, value, higher, images) for step, value in enumerate(values)]


def test_the_best_is_the_first_least_or_greatest_finite_figure():
    assert history.best_of([]) is None
    assert history.best_of(figures(3.0, 1.0, 1.0, 2.0)).step == 1
    assert history.best_of(figures(3.0, 1.0, 4.0, 4.0, higher=True)).step == 2
    assert history.best_of(figures(float("nan"), 2.0, float("inf"))).step == 1
    assert history.best_of(figures(float("nan"))) is None


def test_only_figures_like_the_newest_compare():
    others = figures(0.1, metric="precision") + figures(0.2, images=50)
    assert history.best_of([*others, *figures(3.0, 2.0)]).value == 2.0
