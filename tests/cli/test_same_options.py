"""What decides on sampling is given alike to all commands that sample."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer

import pixelflow
from pixelflow.cli.app import app, main
from pixelflow.core.spec import ExperimentSpec, SamplingSpec
from tests.conftest import make_run, make_spec

COMMANDS: Any = typer.main.get_command(app).commands
GROUPED = {f"export {name}": one for name, one in COMMANDS["export"].commands.items()}
SAMPLING = ("sample", "interpolate", "eval", "bench", "export geneval", "export dpg", "export t2i-compbench")
SHARED = ("steps", "sampler", "guidance", "grid", "settings", "weights", "step", "device")


def option(command: str, name: str) -> tuple[Any, ...]:
    (found,) = [one for one in {**COMMANDS, **GROUPED}[command].params if one.name == name]
    return found.opts, found.metavar, found.help, found.default


@pytest.mark.parametrize("name", SHARED)
def test_an_option_is_the_same_everywhere(name: str):
    assert len({str(option(command, name)) for command in SAMPLING}) == 1


def test_whatever_takes_a_sampler_takes_all_that_decides_on_sampling():
    names = {name: {one.name for one in command.params} for name, command in {**COMMANDS, **GROUPED}.items()}
    assert {name for name, own in names.items() if "sampler" in own} == set(SAMPLING)
    assert not {name: lacking for name in SAMPLING if (lacking := {*SHARED, "overrides"} - names[name])}


def test_the_weights_can_be_chosen_wherever_a_run_is_opened():
    opening = {*SAMPLING, "tune", "export diffusers", "export-official", "export-weights", "push"}
    every = {**COMMANDS, **GROUPED}
    assert {name for name, one in every.items() if any(p.name == "weights" for p in one.params)} == opening


def test_no_setting_of_sampling_bears_the_name_of_a_block():
    """Else ``KEY=VALUE`` could mean two things."""
    assert not SamplingSpec.model_fields.keys() & ExperimentSpec.model_fields.keys()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "tiny", make_spec())


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    return int(stopped.value.code or 0), capsys.readouterr().err


@pytest.mark.parametrize("command", [("sample",), ("eval",), ("bench",), ("export", "geneval")])
@pytest.mark.parametrize("key", ["steps", "sampling.steps"])
def test_a_key_may_leave_its_block_out(command: tuple[str, ...], key: str, run: Path, tmp_path: Path, capsys):
    if command[0] == "export":  # it wants a run of captions
        run = make_run(tmp_path / "text", make_spec("conditioners=[{type: bytes, dim: 16}]"))
        (tmp_path / "prompts.jsonl").write_text('{"prompt": "a cat", "tag": "x"}\n')
        command = (*command, "--prompts", str(tmp_path / "prompts.jsonl"))
    code, said = refused(capsys, *command, str(run), f"{key}=[1,2,3]")
    assert code == 78
    assert "override 'sampling.steps=[1,2,3]' sampling.steps: has 3 entries for 2 stages" in said


def test_a_setting_of_another_block_is_refused_and_not_ignored(run: Path, capsys):
    for command in ("sample", "bench"):
        code, said = refused(capsys, command, str(run), "training.steps=5")
        assert code == 2
        assert "here only sampling.* can be changed" in said
    assert "of a trained run only" in refused(capsys, "eval", str(run), "training.steps=5")[1]


def test_the_way_between_images_takes_the_same_keys(run: Path, tmp_path: Path, capsys):
    command = ("interpolate", str(run), str(tmp_path / "way.gif"), "--frames", "2")
    code, said = refused(capsys, *command, "steps=[1,2,3]")
    assert (code, "sampling.steps: has 3 entries for 2 stages" in said) == (78, True)
    code, said = refused(capsys, *command, "training.steps=5")
    assert (code, "here only sampling.* can be changed" in said) == (2, True)
    assert refused(capsys, *command, "steps=1", "--device", "cpu")[0] == 0
    assert (tmp_path / "way.gif").is_file()


def test_bench_and_export_official_take_the_weights_that_are_asked_for(run: Path, tmp_path: Path, capsys):
    assert "one of: ema, raw" in refused(capsys, "bench", str(run), "--weights", "best")[1]
    assert "one of: ema, raw" in refused(capsys, "export-official", str(run), str(tmp_path), "--weights", "best")[1]
    assert pixelflow.load(run, weights="raw").source.weights == "raw"


@pytest.mark.parametrize("command", [("sample",), ("eval",), ("bench",), ("export", "geneval")])
def test_a_place_that_cannot_be_written_is_known_before_anything_is_drawn(command, run: Path, tmp_path, capsys):
    """A folder below a file cannot be made, whoever asks."""
    if command[0] == "export":
        run = make_run(tmp_path / "text", make_spec("conditioners=[{type: bytes, dim: 16}]"))
        (tmp_path / "prompts.jsonl").write_text('{"prompt": "a cat", "tag": "x"}\n')
        command = (*command, "--prompts", str(tmp_path / "prompts.jsonl"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("pixelflow.core.sampling.generate", lambda *drawn, **more: pytest.fail("it draws"))
        patched.setattr("pixelflow.generation.draw.generate", lambda *drawn, **more: pytest.fail("it draws"))
        code, said = refused(capsys, *command, str(run), "--out", f"{__file__}/below")
    assert code == 73
    assert "cannot be written (Not a directory); choose another --out" in said


UNWRITABLE = f"{__file__}/below"
"""A folder below a file cannot be made, whoever asks."""


@pytest.mark.parametrize(
    ("command", "cure"),
    [
        (("train", "digits", "--out", UNWRITABLE), "--out"),
        (("train-extractor", "digits", "--out", f"{UNWRITABLE}.npz"), "--out"),
        (("sweep", "run", "digits_table3a", "--out", UNWRITABLE), "--out"),
        (("new-plugin", "acme", "--kind", "sampler", "--out", UNWRITABLE), "--out"),
        (("init", "digits", "--out", UNWRITABLE), "--out"),
        (("schema", "--out", UNWRITABLE), "--out"),
        (("data", "digits", "--out", UNWRITABLE), "--out"),
        (("import-official", "release", UNWRITABLE), "RUN"),
        (("export-official", "RUN", UNWRITABLE), "DST"),
        (("export", "diffusers", "RUN", UNWRITABLE), "FOLDER"),
        (("import", "weights.safetensors", UNWRITABLE), "RUN"),
        (("push", "RUN", "someone/digits", "--out", UNWRITABLE), "--out"),
        (("sample", "RUN", "--npz", "images.npz", "--out", UNWRITABLE), "--out"),
        (("sample", "RUN", "--npz", f"{UNWRITABLE}.npz", "--out", "images"), "--npz"),
        (("export-weights", "RUN", f"{UNWRITABLE}.safetensors"), "FILE"),
        (("bench", "RUN", "--out", f"{UNWRITABLE}.json"), "--out"),
        (("eval", "RUN", "--save-statistics", f"{UNWRITABLE}.npz"), "--save-statistics"),
    ],
)
def test_every_command_names_the_option_for_another_place(command, cure, run: Path, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, said = refused(capsys, *(str(run) if word == "RUN" else word for word in command))
    assert code == 73
    assert said.splitlines()[-1].endswith(f"cannot be written (Not a directory); choose another {cure}")


def test_a_cache_that_cannot_be_written_is_known_before_anything_is_drawn(run: Path, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("pixelflow.generation.draw.generate", lambda *drawn, **more: pytest.fail("it draws"))
    monkeypatch.setenv("PIXELFLOW_CACHE", UNWRITABLE)
    code, said = refused(capsys, "eval", str(run), "evaluation.metrics=[frechet]", "--out", str(tmp_path / "out"))
    assert code == 73
    assert said.endswith("features: cannot be written (Not a directory); set PIXELFLOW_CACHE to another folder\n")
