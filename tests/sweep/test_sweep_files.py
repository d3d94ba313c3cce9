"""The sweeps of the repository: all points valid, the paper's numbers, and which trainings they share."""

from __future__ import annotations

from pathlib import Path

import pytest

from pixelflow.cli.app import main
from pixelflow.core import reading
from pixelflow.core.assembly import build_dataset, resolve
from pixelflow.core.spec import ExperimentSpec
from pixelflow.core.spec_files import read_spec
from pixelflow.sweep.points.keys import training_key
from pixelflow.sweep.points.points import read_sweep
from tests.conftest import make_run

SWEEPS = Path(__file__).parents[2] / "specs" / "sweeps"
FILES = sorted(SWEEPS.glob("*.yaml"))
TABLES = ("table1", "table2", "table3a", "table3b", "table3c")


def specs(name: str):
    return [point.spec for point in read_sweep(SWEEPS / f"{name}.yaml")[1]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A folder with the runs that sweeps may be over, of random weights."""
    folder = tmp_path_factory.mktemp("trained")
    for name in ("digits", "digits-shortcut"):
        spec = read_spec(Path(name))
        make_run(folder / "runs" / name, resolve(spec, build_dataset(spec)))
    return folder


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_dry_run_of_each(path, trained, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(trained)
    with pytest.raises(SystemExit) as stopped:
        main(["sweep", "run", str(path), "--dry-run", "--out", str(tmp_path / "sweeps")])
    assert not stopped.value.code
    settings, points, search = read_sweep(path)
    assert settings.name == path.stem
    assert f"{len(points)} {'ends of the ranges' if search else 'points'}; to do:" in capsys.readouterr().out
    assert not list(tmp_path.iterdir()), "a dry run writes nothing"


@pytest.mark.parametrize("table", TABLES)
def test_every_table_has_a_twin_with_the_same_axes(table):
    paper, twin = (read_sweep(SWEEPS / f"{name}.yaml")[0] for name in (table, f"digits_{table}"))
    assert set(twin.keys) <= {*paper.keys, "sampling.steps"}
    assert "digits" in twin.base.name


@pytest.mark.parametrize("table", TABLES)
def test_the_papers_tables_are_measured_by_its_evaluator(table):
    for spec in specs(table):
        names = [params.component.type_name() for params in spec.evaluation.metrics]
        assert (names[0], spec.evaluation.images) == ("adm_fid", 50_000)
        assert str(spec.evaluation.reference) == f"VIRTUAL_imagenet{spec.image.height}_labeled.npz"


def test_table_1_varies_the_number_of_stages():
    assert [spec.stages for spec in specs("table1")] == [1, 3, 5]
    assert [spec.stages for spec in specs("digits_table1")] == [1, 2, 3]


def test_table_2_is_the_papers():
    found = [(spec.image.height, spec.cascade.patch, spec.training.steps, spec.stages) for spec in specs("table2")]
    assert found == [
        (64, 2, 600_000, 5),
        (64, 4, 600_000, 4),
        (256, 2, 100_000, 7),
        (256, 4, 100_000, 6),
        (256, 8, 100_000, 5),
        (256, 4, 1_600_000, 6),
        (256, 8, 1_600_000, 5),
    ]
    assert {spec.cascade.kickoff for spec in specs("table2")} == {2}
    assert {spec.sampling.batch_size for spec in specs("table2")} == {50}


def test_the_twins_train_as_the_demo_does_but_for_what_they_name():
    training = reading.validate(ExperimentSpec, reading.read_document(SWEEPS.parent / "digits.yaml")).training
    for table in TABLES:
        for spec in specs(f"digits_{table}"):
            named = {"steps": training.steps, "precision": training.precision}
            assert spec.training.model_copy(update=named) == training
    first, second = (specs(f"digits_table{number}") for number in (1, 2))
    assert training_key(first[2]) == training_key(second[1]), "kickoff 2 and patch 2, in both"


@pytest.mark.parametrize("prefix", ["", "digits_"])
def test_tables_3_share_one_training(prefix):
    every = [spec for part in "abc" for spec in specs(f"{prefix}table3{part}")]
    assert len({training_key(spec) for spec in every}) == 1


def test_table_3_is_the_papers():
    assert [spec.sampling.steps for spec in specs("table3a")] == [10, 20, 30, 40]
    euler, dopri5 = (spec.sampling for spec in specs("table3b"))
    assert (euler.sampler.type, euler.steps, dopri5.sampler.type, dopri5.sampler.atol) == ("euler", 30, "dopri5", 1e-6)
    assert {spec.sampling.guidance.scale for spec in (*specs("table3a"), *specs("table3b"))} == {1.5}
    searched = {(spec.sampling.guidance.type, spec.sampling.guidance.scale) for spec in specs("table3c")}
    assert {("constant", 1.5), ("stagewise", 2.4)} < searched
