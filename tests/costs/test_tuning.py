"""`pixelflow tune`: settings within an error at less arithmetic, in a file that commands take."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import yaml

import pixelflow
from pixelflow.cli.app import main
from pixelflow.costs import tuning
from pixelflow.costs.tuning import Reuse, SolverChoice, Tuner
from pixelflow.generation.draw import draw
from pixelflow.generation.gallery import read_order
from tests.conftest import make_run, make_spec


def command(*arguments: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main([*map(str, arguments)])
    return int(caught.value.code or 0)


@pytest.fixture
def quick(monkeypatch):
    """A coarser reference, fewer candidates: the search itself is whole."""
    monkeypatch.setattr(tuning, "REFERENCE", ({"type": "rk4"}, 8))
    monkeypatch.setattr(tuning, "SAMPLERS", ("euler", "midpoint"))
    monkeypatch.setattr(tuning, "GRIDS", (("uniform", None), ("shifted", 0.5)))


def test_what_is_found_is_within_the_error_and_drawn_by_the_file(quick, tmp_path, capsys):
    run, error = make_run(tmp_path / "run", make_spec("backbone.depth=1")), 0.05
    assert command("tune", run, "--error", error, "--images", 4, "--device", "cpu") == 0
    file = run / f"sampling-{error}.yaml"
    found = yaml.safe_load(file.read_text())
    opened = pixelflow.load(run, device="cpu")
    asked = {"labels": list(range(4)), "seed": 0}
    images = opened.sample(**asked, **found)
    reference = opened.sample(**asked, sampler="rk4", steps=8)
    assert float((images - reference).square().mean().sqrt()) <= error
    assert f"within {error}" in file.read_text()
    assert "of the reference's" in capsys.readouterr().out
    assert command("sample", run, "--settings", file, "--labels", "0,1,2,3", "--out", tmp_path / "drawn") == 0
    assert list(read_order(tmp_path / "drawn" / "samples.json").sampling.steps) == found["steps"]
    assert command("tune", run, "--error", error) == 73, "nothing is replaced"


def test_the_search_leaves_no_cheaper_neighbour(quick, tmp_path):
    opened = pixelflow.load(make_run(tmp_path / "run", make_spec("backbone.depth=1")), device="cpu")
    tuner = Tuner(opened, 2, lambda text: None)
    best = tuner.best(0.05)
    within = [one for one in tuner.all if one.error <= 0.05]
    assert best.macs == min(one.macs for one in within)
    for stage in range(2):
        fewer = list(best.choice.steps)
        fewer[stage] -= 1
        if fewer[stage]:
            one = best.choice
            assert tuner.tried(SolverChoice(one.sampler, one.grid, one.reuse, tuple(fewer))).error > 0.05


def test_what_is_fitted_is_measured_on_other_images_and_drawn_by_its_settings(quick, tmp_path):
    opened = pixelflow.load(make_run(tmp_path / "run", make_spec("backbone.depth=1")), device="cpu")
    tuner = Tuner(opened, 4, lambda text: None)
    found = tuner.tried(SolverChoice("fitted", ("uniform", None), Reuse(2, is_extrapolated=True), (3, 4)))
    assert [len(stage) for stage in found.sampling.sampler.weights] == [3, 4]
    assert found.nfe == 3 + 2 + 4 + 2
    parts = draw(opened.model, opened.spec, {"label": range(4)}, range(4), sampling=found.sampling)
    images = torch.cat([part.images for part in parts])
    assert found.error == float((images - tuner.reference)[2:].square().mean().sqrt())


def test_blocks_are_left_out_where_that_is_cheaper_within_the_error(quick, tmp_path, monkeypatch):
    """One solver with more steps than the error asks for: leaving blocks out is all that can be saved."""
    monkeypatch.setattr(tuning, "SAMPLERS", ("midpoint",))
    monkeypatch.setattr(tuning, "GRIDS", (("uniform", None),))
    monkeypatch.setattr(tuning, "REUSES", (Reuse(),))
    monkeypatch.setattr(tuning, "_neighbours", lambda *given: iter(()))
    opened = pixelflow.load(make_run(tmp_path / "run", make_spec("backbone.depth=4")), device="cpu")
    tuner = Tuner(opened, 2, lambda text: None)
    plain = tuner.tried(SolverChoice("midpoint", ("uniform", None), Reuse(), (4, 4)))
    cached = tuner.tried(replace(plain.choice, has_block_cache=True))
    assert cached.macs < plain.macs
    assert cached.sampling.block_cache is not None
    monkeypatch.setattr(tuning, "_UNIFORM", (4,))
    assert tuner.best(max(plain.error, cached.error)) == cached
    if plain.error < cached.error:
        assert tuner.best(plain.error) == plain


def test_arithmetic_counts_the_evaluations_that_reuse_saves(quick, tmp_path):
    opened = pixelflow.load(make_run(tmp_path / "run", make_spec("backbone.depth=1")), device="cpu")
    tuner = Tuner(opened, 2, lambda text: None)
    whole, half = (tuner.tried(SolverChoice("euler", ("uniform", None), Reuse(every), (4, 4))) for every in (1, 2))
    assert (whole.nfe, half.nfe) == (16, 12)
    assert half.macs == pytest.approx(0.75 * whole.macs)
    assert not torch.equal(torch.tensor(whole.error), torch.tensor(half.error))


@pytest.mark.parametrize(
    ("text", "told"),
    [("steps: 3\nspeed: 4\n", "speed is no setting of sampling"), ("- 1\n", "must hold settings of sampling")],
)
def test_other_files_are_refused(tmp_path, capsys, text, told):
    run, file = make_run(tmp_path / "run", make_spec()), tmp_path / "settings.yaml"
    file.write_text(text)
    assert command("sample", run, "--settings", file) == 78
    assert told in capsys.readouterr().err


def test_an_error_that_cannot_be_reached_is_said(quick, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tuning, "_UNIFORM", (1,))
    run = make_run(tmp_path / "run", make_spec("backbone.depth=1"))
    assert command("tune", run, "--error", 1e-9, "--images", 1) == 2
    assert "comes within 1e-09 of the reference; allow more" in capsys.readouterr().err
