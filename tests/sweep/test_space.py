"""What a search may vary, and every mistake in it at its line, before anything starts."""

from __future__ import annotations

import pytest

from pixelflow.sweep.points.points import read_sweep
from pixelflow.sweep.points.space import Range, corners
from pixelflow.system.errors import SpecError

SPACE = """
search:
  metric: label_agreement
  trials: 3
  parameters:
    sampling.guidance.scale: {low: 1, high: 4}
    sampling.steps: {low: 2, high: 32, log: true}
    sampling.sampler.type: [euler, heun]
"""


def search(path):
    return read_sweep(path).search


def test_ends_and_choices_are_checked_in_every_combination(sweep_file):
    points = read_sweep(sweep_file(SPACE)).points
    assert len(points) == 8
    assert {point.spec.sampling.steps for point in points} == {2, 32}
    assert {point.spec.sampling.sampler.type for point in points} == {"euler", "heun"}


def test_of_many_parameters_each_is_checked_with_the_first_of_the_others():
    space = {f"p{index}": Range(low=0, high=1) for index in range(9)}
    found = list(corners(space))
    assert len(found) == 10
    assert [sum(changes.values()) for changes in found] == [0, *[1] * 9]


def test_whole_numbers_only_where_the_key_takes_them(sweep_file):
    space = search(sweep_file(SPACE)).parameters
    assert space["sampling.steps"].is_whole
    assert not space["sampling.guidance.scale"].is_whole


def test_the_metric_says_which_way_is_better(sweep_file):
    assert search(sweep_file(SPACE)).objective.direction == "maximize"
    assert search(sweep_file(SPACE.replace("label_agreement", "frechet"))).objective.direction == "minimize"
    figure = SPACE.replace("label_agreement", "label_agreement.accuracy_on_real\n  direction: minimize")
    found = search(sweep_file(figure)).objective
    assert (found.metric, found.figure, found.direction) == ("label_agreement", "accuracy_on_real", "minimize")


def test_more_trials_are_the_same_search(sweep_file):
    few, many, other = (
        search(sweep_file(SPACE.replace(*change))) for change in [("s: 3", "s: 3"), ("s: 3", "s: 9"), ("4}", "5}")]
    )
    assert few.key == many.key != other.key


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("label_agreement", "label_agrement"), ":11:3 search.metric: evaluation.metrics has no 'label_agrement'; did"),
        (("label_agreement", "fid"), "(there are: frechet, label_agreement)"),
        (("label_agreement", "frechet.speed"), ":11:3 search.metric: frechet gives no 'speed' (it gives: distance, "),
        (("label_agreement", "frechet.distance"), ":10:1 search.direction: must be 'minimize' or 'maximize' where"),
        (("sampling.steps", "sampling.stepz"), ":15:5 sampling.stepz: unknown key; did you mean 'steps'?"),
        (("low: 2,", "low: 0,"), "search.parameters.sampling.steps.low: must be greater than 0 where log is true"),
        (("low: 2,", "low: 2.5,"), ":15:5 sampling.steps: needs a whole number"),
        (("low: 2,", "low: 99,"), "parameters.sampling.steps.low: must be less than high, 32"),
        (("log: true", "log: true, step: 2"), "sampling.steps.step: goes with log: false only"),
        (("log: true", "lgo: true"), ":15:40 search.parameters.sampling.steps.lgo: unknown key"),
        (("[euler, heun]", "[euler, hein]"), ":16:5 sampling.sampler: no sampler is called 'hein'"),
        (("[euler, heun]", "euler"), "search.parameters.sampling.sampler.type: needs"),
        (("sampling.sampler.type: [euler, heun]", "evaluation.images: [20, 30]"), "cannot be searched over"),
        (("trials: 3", "trials: 0"), "search.trials: must be at least 1"),
        (("  trials: 3\n", ""), "search.trials: is missing"),
        (("trials: 3", "trials: 3\n  sampler: annealing"), "search.sampler: must be 'tpe', 'random' or 'gp'"),
        (("search:", "points: [{}]\nsearch:"), "give exactly one of 'axes', 'points' and 'search'"),
        (("search:", "skip: [{seed: 1}]\nsearch:"), "a search has no points to leave out"),
    ],
)  # fmt: skip
def test_mistakes_are_named_at_their_line(sweep_file, change, message):
    with pytest.raises(SpecError) as caught:
        read_sweep(sweep_file(SPACE.replace(*change)))
    assert message in str(caught.value)
    assert all(line.split(":")[0].endswith("sweep.yaml") for line in str(caught.value).splitlines())


def test_two_metrics_of_one_type_cannot_be_told_apart(sweep_file):
    path = sweep_file(SPACE)
    path.write_text(path.read_text().replace("metrics: [", "metrics: [label_agreement, "))
    with pytest.raises(SpecError, match="more than one 'label_agreement'"):
        read_sweep(path)
