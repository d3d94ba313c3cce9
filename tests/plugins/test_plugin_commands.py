"""Commands of plugins: found without an import, and a broken one harms no other."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from distributions import ROOT, Site

CODE = """
    import sys
    from pathlib import Path
    from pixelflow import hookimpl
    from pixelflow.system.errors import DataError

    @hookimpl
    def register_components():
        return []

    def greet(folder: Path, times: int = 1) -> None:
        \"\"\"Greet a folder.\"\"\"
        print("hello", folder, times)

    def refuse() -> None:
        raise DataError("nothing to greet")

    def stumble() -> None:
        raise KeyError("x")

    def odd(value: int | str) -> None: ...

    number = 3
"""

ENTRY_POINTS = """
[pixelflow]
acme = acme
[pixelflow.commands]
acme-greet = acme:greet
acme-refuse = acme:refuse
acme-stumble = acme:stumble
acme-odd = acme:odd
acme-number = acme:number
acme-gone = acme:nobody
acme-exits = acme_exits:greet
acme-twice = acme:greet
Acme_Name = acme:greet
train = acme:greet
sweep = acme:greet
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    site = Site(tmp_path_factory.mktemp("site"))
    site.add("acme", CODE)
    (site.path / "dist_acme-1.2.dist-info/entry_points.txt").write_text(ENTRY_POINTS)
    (site.path / "acme_exits.py").write_text("import sys; sys.exit(3)")
    site.metadata("twin", "[pixelflow.commands]\nacme-twice = acme:greet\n")
    site.metadata("nameless", "[pixelflow.commands]\nnameless = acme:greet\n")
    (site.path / "nameless-1.2.dist-info/METADATA").unlink()
    site.metadata("damaged", "[pixelflow.commands\nthis is = = not\n")
    return site


COMMANDS = {
    "acme-greet ~/x --times 2": (0, "x 2"),
    "acme-greet": (2, "Missing argument"),
    "acme-refuse": (65, "pixelflow: nothing to greet"),
    "acme-stumble": (1, "pixelflow: this is a bug of dist_acme 1.2: KeyError: 'x'"),
    "acme-odd": (69, "the command 'acme-odd' of dist_acme 1.2 cannot be used: AssertionError: Typer"),
    "acme-number": (69, "cannot be used: TypeError: acme:number is not a function"),
    "acme-gone": (69, "the command 'acme-gone' of dist_acme 1.2 cannot be used: AttributeError"),
    "acme-exits": (69, "cannot be used: SystemExit: 3"),
    "acme-twice": (2, "dist_acme 1.2 and twin 1.2 both have a command 'acme-twice'; uninstall one"),
    "Acme_Name": (2, "'Acme_Name' is no name of a command"),
    "train": (2, "Missing argument 'SPEC'"),
    "acme-gret": (2, "No such command 'acme-gret'"),
}


@pytest.fixture(scope="module")
def answers(site):
    lines = [*COMMANDS, "--help", "acme-greet --help", "check-plugin acme"]
    return dict(zip(lines, site.pixelflow(*(line.split() for line in lines)), strict=True))


@pytest.mark.parametrize("line", COMMANDS)
def test_is_called_or_refused_in_one_line(answers, line):
    code, said = COMMANDS[line]
    answer = answers[line]
    assert answer.code == code, answer
    assert said in answer.out + answer.err
    assert "Traceback" not in answer.err


def test_they_are_in_the_help_under_a_heading_of_their_own(answers):
    _, _, own = answers["--help"].out.partition("  Commands of plugins:\n")
    assert "acme-greet    of dist_acme 1.2\n" in own
    assert "train         of dist_acme 1.2, refused: pixelflow has a command 'train' of its own" in own
    assert "sweep         of dist_acme 1.2, refused" in own
    assert "Greet a folder." in answers["acme-greet --help"].out


def test_check_plugin_names_what_is_wrong_with_them(answers):
    code, out, err = answers["check-plugin acme"]
    assert code == 65
    greeting = out.partition("command acme-greet\n")[2].partition("command ")[0]
    assert greeting.count("kept") == 4
    assert "'train' should be 'acme' or 'acme-train'" in out
    assert "broken      It says what it does.  the function has no docstring" in out
    assert "acme breaks" in err


def test_the_help_imports_none_of_them(site):
    code = (
        "import sys\nfrom pixelflow.cli.app import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site.path), str(ROOT)])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert "acme-greet" in done.stdout
    assert not {"acme", "acme_exits", "pixelflow.core.plugins", "pydantic", "torch"} & set(done.stderr.split())


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("acme-g", {"acme-greet", "acme-gone"}),
        ("acme-greet --t", {"--times"}),
        ("acme-gone --t", set()),
        ("acme-greet x --times", {"--times"}),
    ],
)
def test_tab_offers_them_and_their_options(site, monkeypatch, line, words):
    monkeypatch.setenv("_PIXELFLOW_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", f"pixelflow {line}")
    monkeypatch.setenv("COMP_CWORD", str(len(line.split())))
    done = site.run("-m", "pixelflow")
    assert set(done.stdout.split()) == words
    assert not done.stderr


def test_they_can_be_left_out(site, monkeypatch):
    monkeypatch.setenv("PIXELFLOW_DISABLE_PLUGINS", "1")
    helped, called = site.pixelflow(["--help"], ["acme-greet", "x"])
    assert "Commands of plugins" not in helped.out
    assert called.code == 2
