"""What points share is found by content."""

from __future__ import annotations

import pytest

from pixelflow.core.assembly import build_network
from pixelflow.costs import planning
from pixelflow.sweep.points.plan import Plan
from pixelflow.system.errors import DataError, MissingInputError


def test_points_share_trainings_and_cells(plan_of):
    plan = plan_of("points: [{}, {sampling.steps: 5}, {seed: 8}, {seed: 8, sampling.steps: 5}, {sampling.steps: 5}]")
    assert (len(plan.points), len(plan.cells), len(plan.trainings)) == (5, 4, 2)
    assert plan.points[1].cell == plan.points[4].cell
    assert [point.label for point in plan.points[:4]] == ["base", "steps 5", "seed 8", "seed 8, steps 5"]


def test_a_longer_axis_adds_cells_and_keeps_the_others(plan_of):
    short, long = (plan_of(f"axes: {{sampling.steps: [{values}]}}") for values in ("1, 2", "1, 2, 3"))
    assert set(short.cells) < set(long.cells)
    assert short.trainings.keys() == long.trainings.keys()


def test_a_plan_comes_back_from_its_folder(plan_of, tmp_path):
    plan = plan_of()
    plan.write(tmp_path / "sweeps" / "quick")
    assert Plan.read(tmp_path / "sweeps" / "quick") == plan


def test_costs_are_those_of_the_plan_command(plan_of):
    from pixelflow.costs.planning import costs

    plan = plan_of()
    for cell in plan.cells.values():
        found = costs(cell.spec)
        assert (cell.cost.parameters, cell.cost.sample_macs) == (found.parameters, found.sample_macs)
        assert (cell.cost.training_flop, cell.cost.is_estimate) == (found.training_flop, False)


def test_a_folder_that_is_no_sweep(tmp_path):
    with pytest.raises(MissingInputError, match="is no sweep"):
        Plan.read(tmp_path)
    (tmp_path / "steps.yaml").touch()
    with pytest.raises(MissingInputError, match=r"steps.yaml: is a file; give the sweep's folder"):
        Plan.read(tmp_path / "steps.yaml")
    (tmp_path / "sweep.json").write_text("{")
    with pytest.raises(DataError, match="is not a sweep's plan"):
        Plan.read(tmp_path)


def test_what_points_share_is_counted_once(plan_of, monkeypatch):
    """Two thousand points that differ in a scale build one network and ask one solver."""
    built = []
    monkeypatch.setattr(planning, "build_network", lambda spec: built.append(spec) or build_network(spec))
    plan = plan_of("axes: {sampling.guidance.scale: [1.0, 1.5, 2.0, 2.5], training.learning_rate: [1e-3, 2e-3]}")
    assert len(plan.cells) == 8
    assert len(built) == 1
