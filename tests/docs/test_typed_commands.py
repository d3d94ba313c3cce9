"""What the pages tell a reader to type is understood by the real command line, names what there is, and runs."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer

from pixelflow.cli.app import app, main
from pixelflow.core import plugins, reading, shipped
from pixelflow.core.registry import registry
from pixelflow.core.spec import ExperimentSpec
from pixelflow.core.spec_files import read_spec
from pixelflow.generation.rewriting import chosen
from pixelflow.generation.settings import changed_sampling, whole_key
from pixelflow.generation.written import component, sampling_changes
from tests.conftest import make_run

ROOT = Path(__file__).parents[2]
READMES = [ROOT / name for name in ("README.md", "benchmarks/README.md", "plugins/README.md")]
PAGES = sorted([*READMES, *(ROOT / "docs").rglob("*.md")])
APP: Any = typer.main.get_command(app)
COMMANDS: dict[str, Any] = {
    " ".join(filter(None, (name, verb))): one
    for name, command in APP.commands.items()
    for verb, one in getattr(command, "commands", {"": command}).items()
}
BLOCK = re.compile(r"^```[^\n]*\n(.*?)^```$", re.M | re.S)
OWN_SPEC = re.compile(r"^```yaml spec\n(.*?)^```$", re.M | re.S)
IMPORTED = {"official"}
"""Runs that a page makes by something else than training a spec."""


class Command(NamedTuple):
    """A command line of a page."""

    page: Path
    words: tuple[str, ...]
    is_whole: bool
    """Whether it can be typed as it stands; in running text only a command or an option may be meant."""

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}: {shlex.join(self.words)}"


def typed(page: Path) -> Iterator[Command]:
    """The command lines in a page's code blocks, fenced or indented, and in its inline code."""
    text = page.read_text().replace("\\\n", " ")
    rest = BLOCK.sub("", text)
    lines = [(line, True) for block in BLOCK.findall(text) for line in block.splitlines()]
    lines += [(line, True) for line in re.findall(r"^    (\S.*)$", rest, re.M)]
    lines += [(line, False) for line in re.findall(r"`([^`\n]*\bpixelflow [^`\n]+)`", rest)]
    for part, is_whole in ((part.strip(), is_whole) for line, is_whole in lines for part in line.split("&&")):
        found = re.match(r"(?:pixelflow|torchrun .*-m pixelflow --) +(\S.*)", part)
        if found:
            words = shlex.split(found[1].replace("...", ""), comments=True)
            if words[:1] and not words[0].startswith("-"):
                yield Command(page, tuple(words), is_whole)


def own_specs(page: Path) -> dict[str, str]:
    """File -> text of the specs that a page tells to save; they are named after their files."""
    texts = OWN_SPEC.findall(page.read_text())
    return {f"{re.search(r'^name: (.*)$', text, re.M)[1]}.yaml": text for text in texts}


ALL = [command for page in PAGES for command in typed(page)]
OWN = {name: text for page in PAGES for name, text in own_specs(page).items()}


def parsed(words: Sequence[str]) -> Any:
    """The arguments as the command gets them; raises what the command line answers with."""
    name, *rest = split(words)
    return COMMANDS[name].make_context(name, rest)


def split(words: Sequence[str]) -> list[str]:
    """The name of a command, of one word or two, and its arguments."""
    length = next((length for length in (1, 2) if " ".join(words[:length]) in COMMANDS), 0)
    assert length, f"there is no command {shlex.join(words[:2])}"
    return [" ".join(words[:length]), *words[length:]]


def options(name: str) -> set[str]:
    return {option for parameter in COMMANDS[name].params for option in parameter.opts}


def is_placeholder(name: str) -> bool:
    return Path(name).stem.isupper() or "/NAME" in name


def is_a_plugins(*texts: str | None) -> bool:
    return any(re.search(r"[=\s]?\b(?:acme|ralston|fourpoint)\.", text or "") for text in texts)


def spec_of(name: str, overrides: Sequence[str] = ()) -> ExperimentSpec:
    """A spec that a page names: one that is there, or that a page tells to save."""
    if name in OWN:
        return reading.validate(ExperimentSpec, reading.override(reading.parse(OWN[name], name), overrides))
    return read_spec(ROOT / name if (ROOT / name).is_file() else shipped.found(Path(name)), list(overrides))


def spec_of_run(path: str) -> ExperimentSpec | None:
    """The spec of a run that a page names; None where only the reader knows."""
    if path.startswith(("hf:", "zoo:")):
        return None
    if is_placeholder(path):
        return spec_of("digits")
    name = Path(path).name
    started = {f"{command.words[-1]}" for command in ALL if "--run" in command.words[-2:]}
    if name in IMPORTED | started:
        return None
    return spec_of(f"{name}.yaml") if f"{name}.yaml" in OWN else spec_of(name)


def test_there_are_commands_to_check():
    assert len(ALL) > 60
    assert len({command.words[0] for command in ALL}) > 14


@pytest.mark.parametrize("command", ALL, ids=str)
def test_is_understood_and_names_what_there_is(command: Command):
    try:
        context = parsed(command.words)
    except typer.TyperException:
        assert not command.is_whole, "it is not understood"
        name, *rest = split(command.words)
        assert all(word.startswith("-") for word in rest[:1])
        assert {word for word in rest if word.startswith("--")} <= options(name)
        return
    given = context.params
    overrides = given.get("overrides") or []
    if is_a_plugins(*overrides, *map(str, given.values())):
        return
    if "spec" in given and not is_placeholder(str(given["spec"])) and Path(given["spec"]).parts[0] != "runs":
        spec_of(str(given["spec"]), overrides)
    if context.info_name == "components" and given["kind"] is not None:
        plugins.load()
        assert given["kind"] in registry.kinds()
    if given.get("rewriter"):
        chosen(given["rewriter"])
    if context.info_name == "sweep run":
        assert is_placeholder(str(given["file"])) or shipped.found(Path(given["file"])).name or given["file"].is_file()
    run = str(given.get("run") or given.get("source") or "")
    if context.info_name in ("sample", "eval", "bench", "export geneval") and run and (spec := spec_of_run(run)):
        check_changes(spec, given, overrides)


def check_changes(spec: ExperimentSpec, given: dict[str, Any], overrides: Sequence[str]) -> None:
    """The options and overrides of a command on a run validate against its spec."""
    for key in ("sampler", "guidance", "grid"):
        if given[key] is not None:
            component(given[key], f"--{key}")
    changes = sampling_changes(**{key: given[key] for key in ("steps", "sampler", "guidance", "grid")})
    changed_sampling(spec, changes)
    document = reading.Document("spec", spec.model_dump(mode="json"))
    reading.validate(ExperimentSpec, reading.override(document, [whole_key(text) for text in overrides]))


def test_a_plugins_folder_is_the_one_that_new_plugin_makes():
    made = {
        f"pixelflow-{command.words[1]}"
        for command in ALL
        if command.words[0] == "new-plugin" and len(command.words) > 1
    }
    installed = [
        folder for page in PAGES for folder in re.findall(r"pip install -e (?:\./)?([\w-]+)\b", page.read_text())
    ]
    assert installed
    assert set(installed) <= made | {"PIXELFLOW"}


QUICK = ("init", "validate", "plan", "components", "schema", "new-plugin")


def is_quick(command: Command) -> bool:
    if command.words[0] == "sweep":
        return "--dry-run" in command.words
    if command.words[0] == "data":
        return Path(command.words[1]).stem == "digits"
    return command.words[0] in QUICK


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the pages' commands are given: the specs are there, and those that pages tell to save."""
    (tmp_path / "specs").symlink_to(ROOT / "specs")
    for name, text in OWN.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


RUNNABLE = [
    command
    for command in dict.fromkeys(ALL)
    if command.is_whole
    and is_quick(command)
    and not any(is_placeholder(word) or word.startswith("runs/") for word in command.words[1:])
    and not is_a_plugins(*command.words)
]


@pytest.mark.parametrize("words", sorted({command.words for command in RUNNABLE}), ids=shlex.join)
def test_what_is_quick_runs(words: tuple[str, ...], clone: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert not stopped.value.code, capsys.readouterr().err


def test_the_readmes_samples_and_python_run(clone: Path, capsys: pytest.CaptureFixture[str]):
    for name in ("digits", "digits-bilinear"):
        run = make_run(clone / "runs" / name, spec_of("digits", ["conditioners.0.classes=10"]))
        (run / "metrics.jsonl").write_text('{"step": 1, "loss": 0.5, "loss_by_stage": [0.5]}\n')
    named = [command.words for command in typed(ROOT / "README.md") if command.is_whole]
    (sampled,) = (words for words in named if words[:2] == ("sample", "runs/digits") and "--labels" in words)
    looked = [words for words in named if words[0] in ("runs", "plot")]
    assert len(looked) == 2
    for words in ([*sampled, "sampler=euler"], *looked):
        with pytest.raises(SystemExit) as stopped:
            main(words)
        assert not stopped.value.code, capsys.readouterr().err
    (example,) = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)
    names: dict[str, Any] = {}
    exec(compile(example, "README.md", "exec"), names)
    assert names["images"].shape == names["v"].shape == (3, 1, 16, 16)
