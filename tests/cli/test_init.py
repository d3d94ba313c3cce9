"""What `init` writes is a spec to train, and a shipped spec is found by its name wherever a spec is wanted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pixelflow.cli.app import main
from pixelflow.cli.init import KINDS
from pixelflow.core import reading, shipped
from pixelflow.core.spec import ExperimentSpec


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    return (int(stopped.value.code or 0), *capsys.readouterr())


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_the_commented_spec_with_its_schema(kind: str, here: Path, capsys):
    code, out, _ = call(capsys, "init", kind)
    assert code == 0
    assert f"pixelflow train {kind}.yaml" in out
    text = (here / f"{kind}.yaml").read_text()
    first, rest = text.split("\n", 1)
    assert first == "# yaml-language-server: $schema=pixelflow.schema.json"
    assert rest.count("#") >= 3, "it should be commented"
    written = reading.validate(ExperimentSpec, reading.parse(text, "x"))
    original = reading.validate(ExperimentSpec, reading.read_document(shipped.specs()[KINDS[kind]]))
    assert written == original.model_copy(update={"name": kind})
    assert "properties" in json.loads((here / "pixelflow.schema.json").read_text())


def test_the_folder_and_the_name_are_those_that_are_given(here: Path, capsys):
    assert call(capsys, "init", "captions", "--data", 'my "own": #1', "--out", "2024.yaml")[0] == 0
    spec = reading.validate(ExperimentSpec, reading.read_document(here / "2024.yaml"))
    assert (spec.name, str(spec.data.root)) == ("2024", 'my "own": #1')
    _, out, _ = call(capsys, "init", "pictures", "--data", str(here))
    assert "put pictures" not in out, "the folder is there"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["init", "digit"], 2, "did you mean 'digits'?"),
        (["init", "digits", "--data", "x"], 2, "digits brings its own data"),
        (["init", "digits", "--out", "bad name.yaml"], 78, "name: may hold letters"),
        (["init", "shapes"], 73, "shapes.yaml is there already"),
    ],
)
def test_what_cannot_be_written_is_one_line(arguments: list[str], code: int, said: str, here: Path, capsys):
    (here / "shapes.yaml").write_text("mine")
    found, _, err = call(capsys, *arguments)
    assert found == code
    assert said in err
    assert err.count("\n") == 1
    assert [path.name for path in here.iterdir()] == ["shapes.yaml"]


def test_a_shipped_spec_is_found_by_its_name_unless_something_here_has_it(here: Path, capsys):
    assert call(capsys, "validate", "digits", "seed=4")[1].startswith("ok: digits,")
    assert call(capsys, "plan", "shapes_t2i")[0] == 0
    assert "6 points" in call(capsys, "sweep", "run", "digits_table3a", "--dry-run")[1]
    assert "did you mean digits?" in call(capsys, "validate", "digitz")[2]
    assert "did you mean" not in call(capsys, "validate", "digits.yaml")[2]
    (here / "digits").write_text("name: mine")
    assert "digits:1:1 data: is missing" in call(capsys, "validate", "digits")[2]


def test_names_of_shipped_specs_tell_them_apart():
    files = list(shipped.folder().rglob("*.yaml"))
    assert len(files) == len(shipped.specs()) > 20


def test_an_installed_package_holds_its_specs_inside(here: Path, monkeypatch):
    """The layout of a wheel: the specs lie in the package, and nothing beside it."""
    shutil.copytree(shipped.folder(), here / "pixelflow" / "specs")
    monkeypatch.setattr("importlib.resources.files", lambda package: here / package)
    assert shipped.specs()["digits"] == here / "pixelflow" / "specs" / "digits.yaml"
