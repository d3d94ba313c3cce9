"""``zoo:NAME``: models that an installed package brings."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import pixelflow
from pixelflow.cli.app import main
from pixelflow.hub.zoo import zoo_file
from pixelflow.runs.runfolder import RunFolder
from pixelflow.runs.weight_file import TrainedWeights
from pixelflow.system.errors import DataError, MissingInputError, UsageError
from tests.conftest import CLASSES, make_run, make_spec


def call(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    return int(stopped.value.code or 0)


@pytest.fixture
def menagerie(tmp_path, monkeypatch) -> Path:
    """An installed package that names two models and holds one; whoever imports it fails."""
    site = tmp_path / "site"
    (site / "menagerie").mkdir(parents=True)
    (site / "menagerie/__init__.py").write_text("raise RuntimeError('code of a package of models was run')")
    (site / "menagerie-1.dist-info").mkdir()
    (site / "menagerie-1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: menagerie\nVersion: 1\n")
    (site / "menagerie-1.dist-info/entry_points.txt").write_text(
        "[pixelflow.zoo]\nsmall = menagerie\nlost = menagerie\ngone = no_such_package\n"
    )
    run = make_run(tmp_path / "trained", make_spec(), classes=CLASSES)
    assert call("export-weights", run, site / "menagerie/small.safetensors", "--bfloat16") == 0
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PIXELFLOW_CACHE", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return site / "menagerie"


def test_is_drawn_from_wherever_a_run_is_taken(menagerie, capsys):
    rounded = TrainedWeights.of(RunFolder(menagerie.parents[1] / "trained"), None, "ema").in_bfloat16
    assert {own.dtype for own in rounded.tensors.values() if own.is_floating_point()} == {torch.bfloat16}
    assert call("sample", "zoo:small", "--labels", "3", "--device", "cpu") == 0
    (made,) = Path("runs").iterdir()
    assert made.name.startswith("zoo-small-")
    assert (made / "samples/drawn/000000.png").is_file()
    assert call("import", "zoo:small", "mine") == 0
    loaded = pixelflow.load("zoo:small", device="cpu")
    assert loaded.classes == CLASSES
    images = loaded.sample(labels=[3], seed=2)
    assert torch.equal(images, pixelflow.load("mine", device="cpu").sample(labels=[3], seed=2))
    for name, tensor in loaded.model.state_dict().items():
        assert torch.equal(tensor, rounded.tensors[name].to(tensor.dtype)), name
    capsys.readouterr()


@pytest.mark.parametrize(
    ("address", "raised", "said"),
    [
        ("zoo:", UsageError, r"zoo:NAME \(there are: gone, lost, small\)"),
        ("zoo:a/b", UsageError, "zoo:NAME"),
        ("zoo:large", MissingInputError, r"no installed package brings it \(there are: gone, lost, small\)"),
        ("zoo:lost", MissingInputError, "the package menagerie names it and does not hold it"),
        ("zoo:gone", MissingInputError, "the package no_such_package names it and does not hold it"),
    ],
)
def test_what_is_not_there_is_told(menagerie, address, raised, said):
    with pytest.raises(raised, match=said):
        zoo_file(address)


def test_where_nothing_is_installed_it_says_what_to_install(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("pixelflow.hub.zoo.GROUP", "pixelflow.no_such_group")
    monkeypatch.chdir(tmp_path)
    assert call("sample", "zoo:digits") == 66
    said = capsys.readouterr().err
    assert "pip install ./plugins/pixelflow-zoo" in said
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_damaged_file_makes_no_run(menagerie, capsys):
    file = menagerie / "small.safetensors"
    body = bytearray(file.read_bytes())
    body[-1] ^= 1
    file.write_bytes(body)
    with pytest.raises(DataError, match="is damaged"):
        pixelflow.load("zoo:small")
    assert call("sample", "zoo:small") == 65
    assert not list(Path("runs").glob("*"))
    capsys.readouterr()
