"""What new-plugin writes installs and passes its own test; what cannot be written is refused in a line."""

from __future__ import annotations

import os
import tomllib

import pytest
from typer.testing import CliRunner

from pixelflow.cli.app import app, main
from pixelflow.cli.new_plugin import KINDS, SKELETON
from tests import processes


def exit_code(capsys, *arguments):
    """The command's exit code and what it said on stderr."""
    with pytest.raises(SystemExit) as stopped:
        main(["new-plugin", *arguments])
    return stopped.value.code, capsys.readouterr().err


def test_there_is_a_skeleton_for_every_choice():
    assert {path.stem for path in SKELETON.glob("*.py")} == set(KINDS)


def test_the_name_takes_the_place_of_the_prefix(tmp_path):
    done = CliRunner().invoke(app, ["new-plugin", "my-lab", "--out", str(tmp_path)])
    assert done.exit_code == 0
    folder = tmp_path / "pixelflow-my-lab"
    assert "pip install -e" in done.stdout
    texts = {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*.*") if path.is_file()}
    assert set(texts) == {
        "README.md",
        "pyproject.toml",
        "pixelflow_my_lab/__init__.py",
        "pixelflow_my_lab/sampler.py",
        "tests/test_plugin.py",
    }
    assert not any("acme" in text or "$" in text for text in texts.values())
    assert 'type: Literal["my-lab.two_stage"]' in texts["pixelflow_my_lab/sampler.py"]


@pytest.mark.parametrize("name", ["", "Acme", "a b", "../acme", "acme_heun", "1acme", "acme-", "a" * 41, "ä", "acme\n"])
def test_bad_names_are_refused(capsys, tmp_path, name):
    code, said = exit_code(capsys, name, "--out", str(tmp_path))
    assert code == 2
    assert said.startswith(f"pixelflow: a plugin cannot be called {name!r}: use at most 40 small letters")
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_the_prefix_is_not_doubled(capsys, tmp_path):
    assert exit_code(capsys, "pixelflow-acme", "--out", str(tmp_path))[0] == 2


def test_an_unknown_kind_is_refused(capsys, tmp_path):
    code, said = exit_code(capsys, "acme", "--kind", "samplr", "--out", str(tmp_path))
    assert code == 2
    assert "did you mean 'sampler'?" in said


def test_an_existing_folder_is_left_alone(capsys, tmp_path):
    (tmp_path / "pixelflow-acme").mkdir()
    code, said = exit_code(capsys, "acme", "--out", str(tmp_path))
    assert code == 73
    assert "is there already" in said
    assert not list((tmp_path / "pixelflow-acme").iterdir())


def test_a_place_that_cannot_be_written_is_named(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    code, said = exit_code(capsys, "acme", "--out", str(tmp_path / "file"))
    assert code == 73
    assert "Not a directory" in said


def test_more_components_are_added(tmp_path):
    """Of another kind, and of the same; what is there stays, and the module that registers them runs."""
    for options in ([], ["--kind", "metric", "--add"], ["--add"]):
        assert CliRunner().invoke(app, ["new-plugin", "my-lab", *options, "--out", str(tmp_path)]).exit_code == 0
    package = tmp_path / "pixelflow-my-lab" / "pixelflow_my_lab"
    assert {"sampler.py", "sampler_2.py", "metric.py"} < {path.name for path in package.iterdir()}
    code = "import pixelflow_my_lab as lab; print(*(one.type_name() for one in lab.register_components()))"
    done = processes.run("-c", code, env={**os.environ, "PYTHONPATH": str(package.parent)})
    names = done.stdout.split()
    assert (names[0], names[2]) == ("my-lab.two_stage", "my-lab.two_stage_2"), done.stderr
    assert "my-lab.two_stage_2" in (package.parent / "README.md").read_text()


def test_a_command_is_added_to_components_and_a_second_one_to_it(tmp_path):
    for options in ([], ["--kind", "command", "--add"], ["--kind", "command", "--add"]):
        assert CliRunner().invoke(app, ["new-plugin", "my-lab", *options, "--out", str(tmp_path)]).exit_code == 0
    project = tomllib.loads((tmp_path / "pixelflow-my-lab" / "pyproject.toml").read_text())["project"]
    assert project["entry-points"] == {
        "pixelflow": {"my-lab": "pixelflow_my_lab"},
        "pixelflow.commands": {
            "my-lab-parts": "pixelflow_my_lab.command:parts",
            "my-lab-parts2": "pixelflow_my_lab.command_2:parts2",
        },
    }
    assert "def parts2(" in (tmp_path / "pixelflow-my-lab/pixelflow_my_lab/command_2.py").read_text()


def test_nothing_is_added_where_it_cannot_be(capsys, tmp_path):
    code, said = exit_code(capsys, "acme", "--add", "--out", str(tmp_path))
    assert code == 66
    assert "leave --add out" in said
    assert exit_code(capsys, "acme", "--out", str(tmp_path))[0] == 0
    hook = tmp_path / "pixelflow-acme/pixelflow_acme/__init__.py"
    hook.write_text(hook.read_text().replace("return [TwoStage]", "return list((TwoStage,))"))
    code, said = exit_code(capsys, "acme", "--kind", "metric", "--add", "--out", str(tmp_path))
    assert code == 2
    assert "add by hand  from pixelflow_acme.metric import" in said
    assert not (hook.parent / "metric.py").exists()
