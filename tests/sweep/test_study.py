"""A search: every trial is done once, whoever asks for it and whatever is killed."""

from __future__ import annotations

import json
import random
import sys
import time

import pytest

from pixelflow.metrics.frechet import Frechet
from pixelflow.sweep.executors import Local
from pixelflow.sweep.points.plan import Plan
from pixelflow.sweep.work import crew
from pixelflow.sweep.work.study import JOURNAL, settle
from pixelflow.sweep.work.tasks import cells_of, tasks_of
from pixelflow.sweep.work.worker import work
from pixelflow.system.errors import DataError, MissingDependencyError, SpecError
from tests.sweep.test_tasks import FORK, litter, stamps

SEARCH = """
search:
  metric: {metric}
  trials: {trials}
  parameters: {parameters}
seed: 4
"""
SPACE = "{sampling.guidance.scale: {low: 1, high: 4}, sampling.steps: {low: 1, high: 6}}"


@pytest.fixture
def begun(plan_of, tmp_path):
    """Write a search's plan into its folder, as the command does; gives the folder."""

    def begin(trials: int = 3, parameters: str = SPACE, metric: str = "frechet", folder: str = "quick"):
        text = SEARCH.format(metric=metric, trials=trials, parameters=parameters)
        settle(plan_of(text), tmp_path / folder / "quick")
        return tmp_path / folder / "quick"

    return begin


def journal(folder):
    """The trials as Optuna reads them."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    storage = JournalStorage(JournalFileBackend(str(folder / JOURNAL)))
    return optuna.load_study(storage=storage, study_name=Plan.read(folder).search.key).get_trials()


def tried(folder) -> list[tuple]:
    return [tuple(point.changes.values()) for point in Plan.read(folder).points]


def found(folder) -> list[float]:
    """The value of every point."""
    plan = Plan.read(folder)
    cells = cells_of(tasks_of(plan, folder))
    return [plan.search.objective.value(cells[point.cell].measured.results) for point in plan.points]


def test_every_trial_is_a_point_and_the_study_knows_its_value(begun):
    folder = begun(trials=4)
    work(folder, "cpu")
    settle(Plan.read(folder), folder)
    trials = journal(folder)
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 4
    assert [trial.value for trial in trials] == found(folder)
    assert [tuple(trial.params.values()) for trial in trials] == tried(folder)
    plan = Plan.read(folder)
    assert plan.trials_left == 0
    assert len(set(found(folder))) > 1, found(folder)
    assert [plan.cells[point.cell].spec.sampling.steps for point in plan.points] == [one[1] for one in tried(folder)]
    assert len(plan.trainings) == 1


def test_more_trials_go_on_with_those_before(begun):
    folder = begun(trials=2)
    work(folder, "cpu")
    before, first = stamps(tasks_of(Plan.read(folder), folder)), tried(folder)
    begun(trials=5)
    work(folder, "cpu")
    assert tried(folder)[:2] == first
    assert len(tried(folder)) == 5
    after = stamps(tasks_of(Plan.read(folder), folder))
    assert {file: after[file] for file in before} == before


def test_a_repeated_proposal_costs_nothing(begun):
    folder = begun(trials=6, parameters="{sampling.sampler.type: [euler, heun]}")
    work(folder, "cpu")
    plan = Plan.read(folder)
    assert len(plan.points) == 6
    assert len(plan.cells) == 2
    settle(plan, folder)
    assert [trial.value for trial in journal(folder)] == found(folder)


@pytest.mark.parametrize("sampler", ["tpe", "random", "gp"])
def test_one_seed_gives_one_course(begun, plan_of, tmp_path, sampler):
    courses = []
    for name, seed in (("a", 4), ("b", 4), ("c", 5)):
        text = SEARCH.format(metric="frechet", trials=f"3\n  sampler: {sampler}", parameters=SPACE)
        folder = tmp_path / name / "quick"
        settle(plan_of(text.replace("seed: 4", f"seed: {seed}")), folder)
        for _ in range(3):
            propose_without_working(folder)
        courses.append(tried(folder))
    assert courses[0] == courses[1] != courses[2]
    assert len({one for course in courses for one in course}) == 6


def propose_without_working(folder) -> None:
    """Ask for a trial and mark what it needs as done, as if somebody had done it."""
    from pixelflow.sweep.work.study import advance

    advance(Plan.read(folder), folder)
    for task in tasks_of(Plan.read(folder), folder):
        task.folder.mkdir(parents=True, exist_ok=True)
        figures = {"metric": "frechet", "values": {"distance": 1.0}, "higher_is_better": False}
        results = [{**figures, "settings": {"type": "frechet"}}]
        result = {"images_per_second": 1.0, "seconds_per_image": 1.0, "results": results}
        (task.folder / "result.json").write_text(json.dumps(result))


def check_kills(begun, kills: int, seed: int) -> None:
    whole, cut = begun(trials=8, folder="whole"), begun(trials=8, folder="cut")
    work(whole, "cpu")
    lots = random.Random(seed)
    for _ in range(kills):
        before = stamps(tasks_of(Plan.read(cut), cut))
        worker = FORK.Process(target=work, args=(cut, "cpu"))
        worker.start()
        time.sleep(lots.uniform(0, 0.5))
        worker.kill()
        worker.join()
        after = stamps(tasks_of(Plan.read(cut), cut))
        assert {file: after[file] for file in before} == before
    work(cut, "cpu")
    settle(Plan.read(cut), cut)
    assert (tried(cut), found(cut)) == (tried(whole), found(whole))
    trials = [trial for trial in journal(cut) if trial.state.name != "FAIL"]
    assert [trial.value for trial in trials] == found(cut)
    assert not litter(cut)


def test_killed_at_any_moment_it_finds_what_it_would_have_found(begun):
    check_kills(begun, kills=5, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_fifty_kills_of_a_search(begun, seed):
    check_kills(begun, kills=10, seed=100 + seed)


@pytest.mark.usefixtures("warm_workers")
def test_workers_share_a_search(plan_of, tmp_path):
    plan, folder = plan_of(SEARCH.format(metric="frechet", trials=5, parameters=SPACE)), tmp_path / "sweeps" / "quick"
    said: list[str] = []
    crew.run(plan, folder, Local(workers=2), said.append)
    assert len(tried(folder)) == 5
    assert [trial.value for trial in journal(folder)] == found(folder)
    assert said[0].endswith("; 5 of 5 trials to come")
    assert said[-1].startswith("6/6 ")
    again: list[str] = []
    crew.run(plan, folder, Local(workers=2), again.append)
    assert len(again) == 1


def test_trials_that_cannot_wait_for_each_other_are_not_asked_for(begun):
    """All trials need one training; only those for which there is a worker are proposed while it runs."""
    folder = begun(trials=9)
    asked: list[int] = []

    def ask() -> None:
        from pixelflow.sweep.work.study import advance

        for _ in range(5):
            advance(Plan.read(folder), folder)
        asked.append(len(Plan.read(folder).points))

    ask()
    (training,) = (task for task in tasks_of(Plan.read(folder), folder) if task.needs is None)
    with training.claim.held() as mine:
        assert mine
        ask()
    assert asked == [1, 2]


def test_settings_that_do_not_go_together_are_left_out(begun):
    space = "{cascade.stages: [1, 2], sampling.steps: {low: 1, high: 9}, backbone.depth: {low: 1, high: 2}}"
    folder = begun(trials=6, parameters=space)
    plan = Plan.read(folder)
    base = {**plan.search.base, "cascade": {"stages": 1, "patch": [2]}}  # two stages would need two patches
    settle(plan.model_copy(update={"search": plan.search.model_copy(update={"base": base})}), folder)
    work(folder, "cpu")
    plan = settle(Plan.read(folder), folder)
    assert plan.refused
    assert all("has 1 entries for 2 stages" in why for why in plan.refused.values())
    assert len(plan.points) + len(plan.refused) == 6
    assert {trial.number for trial in journal(folder) if trial.state.name == "FAIL"} == plan.refused.keys()


def test_a_proposal_that_was_cut_off_is_dropped_and_a_torn_line_mended(begun):
    folder = begun(trials=3)
    work(folder, "cpu")
    settle(Plan.read(folder), folder)
    lines = (folder / JOURNAL).read_bytes().splitlines(keepends=True)
    last = max(index for index, line in enumerate(lines) if b'"param_name"' in line)
    begun(trials=2)  # forgets the third trial, which is written anew from what is left of the journal
    (folder / JOURNAL).write_bytes(b"".join(lines[:last]) + lines[last][:20])
    (folder / "optuna.json").unlink()  # it was not yet written when the process was killed
    begun(trials=3)
    work(folder, "cpu")
    plan = settle(Plan.read(folder), folder)
    assert [point.trial for point in plan.points] == [0, 1, 3]
    assert [trial.state.name for trial in journal(folder)] == ["COMPLETE", "COMPLETE", "FAIL", "COMPLETE"]


def test_a_figure_that_the_metric_does_not_give_ends_it_all(begun, tmp_path, monkeypatch):
    monkeypatch.setattr(Frechet, "figures", ())  # as of a metric that does not name them
    folder = begun(metric="frechet.speed\n  direction: minimize")
    with pytest.raises(SpecError, match=r"frechet gives no 'speed' \(it gives: distance, "):
        work(folder, "cpu")
    assert len(tried(folder)) == 1


def test_without_optuna_it_does_not_begin(plan_of, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    plan = plan_of(SEARCH.format(metric="frechet", trials=3, parameters=SPACE))
    with pytest.raises(MissingDependencyError, match=r"pip install 'pixelflow-toolkit\[optuna\]'"):
        crew.run(plan, tmp_path / "sweeps" / "quick", Local(workers=1), lambda line: None)
    assert not (tmp_path / "sweeps" / "quick" / "sweep.json").exists()


def test_a_changed_journal_is_refused_and_the_search_begins_anew(begun):
    folder = begun(trials=2)
    work(folder, "cpu")
    plan, file = Plan.read(folder), folder / JOURNAL
    whole = file.read_bytes()
    file.write_bytes(whole.replace(b'"param_value_internal":', b'"param_value_internal":1', 1))
    with pytest.raises(DataError, match=r"optuna\.journal: is damaged .* remove optuna\.journal and optuna\.json"):
        settle(plan, folder)
    file.write_bytes(whole + b'{"op_code": 4, "wor')  # what a killed process left
    assert len(settle(plan, folder).points) == 2
    for name in ("optuna.journal", "optuna.json"):
        (folder / name).unlink()
    fresh = plan.model_copy(update={"points": (), "cells": {}, "trainings": {}})
    assert settle(fresh, folder).points == ()
