"""The application: instant help, one line and one code an error."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import pixelflow
from pixelflow.cli import app as application
from pixelflow.system import errors
from tests import processes
from tests.conftest import make_run, make_spec

ROOT = Path(pixelflow.__file__).parents[1]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """``python -m pixelflow`` in a process of its own."""
    return processes.run("-m", "pixelflow", *arguments)


def test_help_takes_less_than_half_a_second_of_a_processor():
    before = os.times()
    shown = subprocess.run([sys.executable, "-m", "pixelflow", "--help"], capture_output=True, text=True).stdout
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    assert "Commands:" in shown
    assert spent < 0.5


def test_help_imports_neither_torch_nor_components():
    code = (
        "import sys\n"
        "from pixelflow.cli.app import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr.split()
    assert "pixelflow.cli.app" in modules
    heavy = ("torch", "numpy", "pixelflow.samplers", "pixelflow.core.plugins", "pydantic", "yaml", "rich")
    assert not set(heavy) & set(modules)


def test_version():
    assert run("--version").stdout == f"pixelflow {pixelflow.__version__}\n"


def test_the_installed_command_is_the_same_function():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module, _, name = scripts["pixelflow"].partition(":")
    assert (module, name) == (application.__name__, application.main.__name__)


def test_every_command_has_a_help_of_its_own(capsys):
    grouped = [
        [group, application._typed(command)]
        for group, (_, commands) in application.GROUPS.items()
        for command in commands
    ]
    for name in [*([application._typed(command)] for command in application.COMMANDS), *grouped]:
        with pytest.raises(SystemExit) as stopped:
            application.main([*name, "--help"])
        assert stopped.value.code == 0
        summary = capsys.readouterr().out.splitlines()[2]
        assert summary.strip().endswith((".", ":")) or len(summary) > 40, name


def raising(error: BaseException, monkeypatch: pytest.MonkeyPatch, *options: str) -> None:
    """Run a command that raises `error`."""

    def fail(path: Path, overrides: list[str] | None) -> None:
        raise error

    monkeypatch.setattr("pixelflow.cli.validate.read_spec", fail)
    application.main(["validate", "x.yaml", *options])


def subclasses(cls: type) -> list[type]:
    return [cls, *(below for one in cls.__subclasses__() for below in subclasses(one))]


OURS = [cls for cls in subclasses(errors.PixelflowError) if cls.__module__.startswith("pixelflow.")]


@pytest.mark.parametrize("cls", OURS)
def test_an_error_of_ours_is_its_lines_and_its_code(cls, monkeypatch, capsys):
    with pytest.raises(SystemExit) as stopped:
        raising(cls("first", "second"), monkeypatch)
    assert stopped.value.code == cls.exit_code
    assert capsys.readouterr().err == "pixelflow: first\npixelflow: second\n"


def test_codes_tell_causes_apart():
    codes = [cls.exit_code for cls in errors.PixelflowError.__subclasses__() if cls.__module__ == errors.__name__]
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize("options", [[], ["--debug"]])
def test_anything_else_is_called_a_bug(options, monkeypatch, capsys):
    with pytest.raises(SystemExit) as stopped:
        raising(KeyError("boom\nmore"), monkeypatch, *options)
    *traceback, message = capsys.readouterr().err.splitlines()
    assert stopped.value.code == 1
    assert bool(traceback) == bool(options)
    assert "this is a bug: KeyError" in message
    assert message.rstrip().endswith("pixelflow --debug validate x.yaml")


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (PermissionError(13, "Permission denied", "/there"), 73, "/there: Permission denied"),
        (FileNotFoundError(2, "No such file", "/there"), 66, "/there: there is no such file or folder"),
        (OSError(28, "No space left on device"), 73, "the disk: No space left on device"),
        (MemoryError(), 71, "out of memory; lower what is done at a time, such as batch_size"),
    ],
)
def test_what_the_system_refuses_is_no_bug(error, code, line, monkeypatch, capsys):
    with pytest.raises(SystemExit) as stopped:
        raising(error, monkeypatch)
    assert stopped.value.code == code
    assert capsys.readouterr().err == f"pixelflow: {line}\n"


@pytest.mark.parametrize("place", ["before", "behind"])
def test_debug_shows_the_traceback(place, tmp_path):
    arguments = ["--debug", "validate", "x.yaml"] if place == "before" else ["validate", "x.yaml", "--debug"]
    shown = run(*arguments)
    assert shown.returncode == 66
    assert "Traceback" in shown.stderr
    assert shown.stderr.splitlines()[-1].startswith("pixelflow: x.yaml: there is no such file")
    assert "Traceback" not in run("validate", "x.yaml").stderr


def test_an_interrupt_is_130(monkeypatch):
    with pytest.raises(SystemExit) as stopped:
        raising(KeyboardInterrupt(), monkeypatch)
    assert stopped.value.code == 130


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["validat", "x"], "No such command 'validat'. Did you mean 'validate'? See pixelflow --help"),
        (["train", "--ou", "x"], "No such option: --ou (Possible options: --out, --run); see pixelflow train --help"),
        (["--hlp"], "No such option: --hlp (Possible options: --help); see pixelflow --help"),
        (["train"], "Missing argument 'SPEC'; see pixelflow train --help"),
        (["sample", "x", "--count"], "Option '--count' requires an argument"),
        (["--debug"], "Missing command; see pixelflow --help"),
    ],
)
def test_a_line_that_cannot_be_understood_is_answered_by_one(arguments, line, capsys):
    with pytest.raises(SystemExit) as stopped:
        application.main(arguments)
    assert stopped.value.code == 2
    (shown,) = [one for one in capsys.readouterr().err.splitlines() if one.startswith("pixelflow: ")]
    assert shown.startswith(f"pixelflow: {line}")


def test_without_arguments_there_is_help(capsys):
    with pytest.raises(SystemExit) as stopped:
        application.main([])
    assert stopped.value.code == 0
    assert "Commands:" in capsys.readouterr().out


def test_every_path_may_begin_at_home(monkeypatch, tmp_path, capsys):
    """A shell leaves ``~`` alone in ``--out=~/x``."""
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(SystemExit) as stopped:
        application.main(["schema", "--out=~/schema.json"])
    assert stopped.value.code == 0
    assert (tmp_path / "schema.json").is_file()
    make_run(tmp_path / "run", make_spec())
    with pytest.raises(SystemExit) as stopped:
        application.main(["rm", "~/run", "--yes"])  # one of several
    assert stopped.value.code == 0
    assert not (tmp_path / "run").exists()
    with pytest.raises(SystemExit) as stopped:
        application.main(["schema", "--out=~nobody_of_this_name/schema.json"])
    assert stopped.value.code == 2
    assert "~nobody_of_this_name stands for a home folder, and there is none" in capsys.readouterr().err


@pytest.mark.parametrize("name", sorted(application.ALONE))
def test_what_works_in_one_process_is_not_done_by_several(name, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(errors.UsageError, match=r"works in one process, and torchrun started 2"):
        application._function(name)()


def test_who_starts_it_by_torchrun_is_told_in_a_line(tmp_path, monkeypatch, capsys):
    run = make_run(tmp_path / "run", make_spec())
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(SystemExit) as stopped:
        application.main(["export-weights", str(run), str(tmp_path / "file")])
    assert stopped.value.code == errors.UsageError.exit_code
    assert capsys.readouterr().err.startswith("pixelflow: this command works in one process")
    assert not (tmp_path / "file").exists()
