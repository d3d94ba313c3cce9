"""schema, components, doctor and plan, as a user calls them."""

from __future__ import annotations

import contextlib
import io
import json
import re
import sys
from importlib import metadata
from pathlib import Path

import jsonschema
import pytest

from pixelflow.cli.app import main
from pixelflow.core import plugins, reading
from pixelflow.core.kinds import known
from pixelflow.core.registry import registry
from tests.conftest import TINY, make_spec

ROOT = Path(__file__).parents[2]
SPECS = [file for file in sorted((ROOT / "specs").rglob("*.yaml")) if "sweeps" not in file.parts]


def output(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a command that succeeds prints."""
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    captured = capsys.readouterr()
    assert stopped.value.code == 0, captured.err
    return captured.out


@pytest.fixture(scope="module")
def validator():
    with contextlib.redirect_stdout(io.StringIO()) as told, pytest.raises(SystemExit) as stopped:
        main(["schema"])
    assert stopped.value.code == 0
    return jsonschema.Draft202012Validator(json.loads(told.getvalue()))


def test_the_schema_is_a_schema(validator):
    jsonschema.Draft202012Validator.check_schema(validator.schema)


def test_the_schema_knows_every_component_and_setting(validator):
    blocks = list(validator.schema["$defs"].values())
    for kind, name, entry in registry:
        if known()[kind].command != "train SPEC":  # the commands sample and export name rewriters, specs do not
            continue
        if entry.origin != "pixelflow":  # what another test handed over in this process
            continue
        fields = entry.cls.Params.model_fields
        mine = [one for one in blocks if one["title"] == name and set(one["properties"]) == set(fields)]
        assert mine, f"{name} is not in the schema"
        assert any(one["description"] for one in mine)
        for field in fields.keys() - {"type"}:
            assert any(one["properties"][field].get("description") for one in mine), f"{name}.{field} has no docstring"


@pytest.mark.parametrize("file", SPECS, ids=lambda file: file.stem)
def test_our_specs_validate_against_the_schema(file, validator):
    validator.validate(reading.read_document(file).data)


def test_a_resolved_spec_validates_against_the_schema(validator):
    validator.validate(reading.parse(reading.dump(make_spec()), "dumped").data)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("seed: 3", "sead: 3"),
        ("seed: 3", "seed: x"),
        ("data: digits", "data: digit"),
        ("type: constant, scale: 1.5", "type: constant, skale: 1.5"),
        ("type: constant, scale: 1.5", "scale: 1.5"),
        ("size: 16", "size: [16]"),
    ],
)
def test_the_schema_refuses_what_is_broken(old, new, validator):
    assert validator.is_valid(reading.parse(TINY, "tiny").data)
    assert not validator.is_valid(reading.parse(TINY.replace(old, new), "tiny").data)


def test_schema_in_a_file_comes_with_the_line_for_editors(tmp_path, capsys):
    shown = output(capsys, "schema", "--out", str(tmp_path / "spec.json"))
    assert shown.splitlines()[-1] == f"# yaml-language-server: $schema={tmp_path / 'spec.json'}"
    assert json.loads((tmp_path / "spec.json").read_text())["title"] == "ExperimentSpec"


def test_schema_into_nowhere(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["schema", "--out", str(tmp_path / "none" / "spec.json")])
    assert stopped.value.code == 73
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_components_lists_all_with_origin_and_parameters(capsys):
    shown = output(capsys, "components")
    for kind, name, entry in registry:
        block = shown.split(f"\n{kind}\n" if not shown.startswith(kind) else f"{kind}\n", 1)[1]
        assert f"\n  {name}  [{entry.origin}]\n" in f"\n{block}"
    assert "      rtol = 0.001  (number, greater than 0)\n          Relative tolerance.\n" in shown
    assert '      split = "all"  (all | even | odd)\n' in shown


def test_components_of_one_kind(capsys):
    shown = output(capsys, "components", "sampler")
    assert shown.startswith("sampler\n")
    assert set(re.findall(r"^  (\S+)  \[", shown, re.MULTILINE)) == set(registry.of_kind("sampler"))
    assert "\n      order 4; NFE a step: 4\n" in shown
    assert "\n      order 5; NFE as its tolerances need\n" in shown


def test_components_of_no_kind(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["components", "samplers"])
    assert stopped.value.code == 2
    assert "did you mean 'sampler'?" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["components", "doctor"])
def test_broken_plugins_are_named(command, capsys, monkeypatch):
    monkeypatch.setattr("pixelflow.cli.doctor._version", lambda package: None)  # nothing to try, which takes seconds
    monkeypatch.setattr(plugins, "_failures", [plugins.Failure("acme", "cannot be imported: no luck", "")])
    (line,) = [line for line in output(capsys, command).splitlines() if "acme" in line]
    assert "broken" in line
    assert "cannot be imported: no luck" in line


def test_doctor_names_versions_devices_and_kernels_and_how_to_get_what_is_missing(capsys, monkeypatch):
    from pixelflow.cli import doctor

    version, requirements = doctor._version, doctor._requirements()
    quick = [one for one in requirements if one[2] in ("", "xformers", "fid")]  # to import all takes seconds
    monkeypatch.setattr(doctor, "_requirements", lambda: quick)
    monkeypatch.setattr(doctor, "_version", lambda package: None if package == "xformers" else version(package))
    shown = output(capsys, "doctor")
    for line in (
        f"torch {metadata.version('torch')}, works",
        "cpu:",
        "float32: ",
        "not varlen: ",
        "plugins",
        "clean-fid",
    ):
        assert line in shown
    assert f"xformers is missing (xformers): {sys.executable} -m pip install 'xformers>=" in shown


def test_plan_of_the_tiny_spec(tiny_file, capsys):
    shown = output(capsys, "plan", str(tiny_file), "training.steps=1000000", "--tflops", "0.001")
    assert "tiny: 16x16 pixels in 2 stages," in shown
    assert "1 MAC is 2 FLOP" in shown
    assert re.search(r"^Training: \S+ PFLOP, \S+ (days|hours) at 1.00 GFLOP/s$", shown, re.MULTILINE)


@pytest.mark.parametrize(("words", "tokens"), [("true", 33), ("false", 64)])
def test_plan_says_how_long_captions_are_taken_to_be(tiny_file, capsys, words, tokens):
    text = f"conditioners=[{{type: bytes, dim: 16, heads: 2, max_bytes: 64, words: {words}}}]"
    shown = output(capsys, "plan", str(tiny_file), "data=shapes", text)
    assert f"\nCaptions count as {tokens} tokens, the most that is read of one" in shown
    assert "Captions" not in output(capsys, "plan", str(tiny_file))


def test_plan_says_what_fits_how_many_devices(tiny_file, capsys):
    shown = output(capsys, "plan", str(tiny_file), "--gpus", "4", "--memory", "80GB", "--per-node", "2")
    assert "On 4 devices of 80.0 GB, 92% of it counted on: 2 images of a batch each" in shown
    rows = re.findall(r"^  (ddp|fsdp|hybrid) +(no|yes) +1 .* fits +\S+ \S+, \S+ GPU hours$", shown, re.MULTILINE)
    assert rows == [(mode, again) for mode in ("ddp", "fsdp", "hybrid") for again in ("no", "yes")]
    assert "33% of an H100's peak" in shown
    assert re.search(r"reading: \S+ \S? ?images a second a device, for which training.workers=\d+ read", shown)
    assert re.search(r"FID-50k: .* GPU hours to draw 50,000 images", shown)
    long = output(capsys, "plan", str(tiny_file), "training.steps=10000000", "--gpus", "1", "--tflops", "1e-6")
    assert re.search(r"fits +\S+ years, \d{1,3}(,\d{3})+ GPU hours$", long, re.MULTILINE)
    small = output(capsys, "plan", str(tiny_file), "--memory", "1MB", "--tflops", "1")
    assert "On 1 device of 1.00 MB" in small
    assert "too much" in small
    assert "H100" not in small


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--memory", "80"], 2, "'80' is no size; write 80GB, 141GB or 79GiB"),
        (["--memory", "0GB"], 2, "'0GB' is no size"),
        (["--gpus", "0"], 2, "greater than or equal to 1"),
        (["--gpus", "3"], 2, "training.batch_size 8 is not a multiple of 3 devices"),
    ],
)
def test_plan_refuses_devices_that_cannot_be(tiny_file, capsys, options, code, said):
    with pytest.raises(SystemExit) as stopped:
        main(["plan", str(tiny_file), *options])
    assert stopped.value.code == code
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_plan_refuses_what_validate_refuses(tiny_file, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["plan", str(tiny_file), "seed=x"])
    assert stopped.value.code == 78
