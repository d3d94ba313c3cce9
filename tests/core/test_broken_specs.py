"""Broken specs: every one is answered by a line for each problem, with its place, and exit code 78; never a traceback.

An expected line is the beginning of the real one (what follows may list components, which plugins add to).
"""

from __future__ import annotations

import pytest

from pixelflow.cli.app import main

SPEC = """\
name: tiny
seed: 3
image: {size: 16, channels: 1}
data: digits
cascade:
  stages: 2
  patch: 2
backbone:
  type: dit
  depth: 2
sampling:
  steps: 3
"""


def replaced(old: str, new: str) -> str:
    assert SPEC.count(old) == 1
    return SPEC.replace(old, new)


def last(line: str) -> str:
    """The spec with one more line, the 13th."""
    return f"{SPEC}{line}\n"


VALUES = {
    # typos
    last("sead: 3"): ["exp.yaml:13:1 sead: unknown key; did you mean 'seed'?"],
    last("steps: 3"): ["exp.yaml:13:1 steps: unknown key; did you mean 'training.steps' or 'sampling.steps'?"],
    last("zzz: 3"): ["exp.yaml:13:1 zzz: unknown key (there are: name, seed, image, data,"],
    last("training: {leaning_rate: 1}"): [
        "exp.yaml:13:12 training.leaning_rate: unknown key; did you mean 'learning_rate'?"
    ],
    replaced("size: 16", "sise: 16"): ["exp.yaml:3:9 image.sise: unknown key; did you mean 'size'?"],
    replaced("depth: 2", "dept: 2"): ["exp.yaml:10:3 backbone.dept: unknown key; did you mean 'depth'?"],
    replaced("data: digits", "data: {type: digits, root: x}"): [
        "exp.yaml:4:22 data.root: unknown key (there are: type,"
    ],
    last('"a\\nb": 1'): ["exp.yaml:13:1 'a\\nb': unknown key"],
    # types
    replaced("seed: 3", "seed: true"): ["exp.yaml:2:1 seed: needs a whole number, not true"],
    replaced("seed: 3", 'seed: "3"'): ["exp.yaml:2:1 seed: needs a whole number, not the text '3'"],
    replaced("seed: 3", "seed: 3.5"): ["exp.yaml:2:1 seed: needs a whole number, not 3.5"],
    replaced("seed: 3", "seed: x"): ["exp.yaml:2:1 seed: needs a whole number, not the text 'x'"],
    replaced("seed: 3", "seed: 0x10"): ["exp.yaml:2:1 seed: needs a whole number, not the text '0x10'"],
    replaced("seed: 3", "seed: 1_000"): ["exp.yaml:2:1 seed: needs a whole number, not the text '1_000'"],
    replaced("seed: 3", "seed: 2020-01-01"): ["exp.yaml:2:1 seed: needs a whole number, not the text '2020-01-01'"],
    replaced("seed: 3", "seed:"): ["exp.yaml:2:1 seed: needs a whole number, not nothing"],
    replaced("seed: 3", "seed: [1]"): ["exp.yaml:2:1 seed: needs a whole number, not a list"],
    replaced("seed: 3", "seed: {a: 1}"): ["exp.yaml:2:1 seed: needs a whole number, not a block of keys and values"],
    replaced("name: tiny", "name: 3"): ["exp.yaml:1:1 name: needs text, not 3; put it in quotes"],
    replaced("name: tiny", "name:"): ["exp.yaml:1:1 name: needs text, not nothing"],
    last("training: {compile: yes}"): [
        "exp.yaml:13:12 training.compile: must be 'auto', true or false, not the text 'yes'"
    ],
    last("training: {compile: 1}"): ["exp.yaml:13:12 training.compile: needs true or false, not 1"],
    last("training: {learning_rate: '1e-4'}"): [
        "exp.yaml:13:12 training.learning_rate: needs a number, not the text '1e-4'"
    ],
    last("training: 5"): ["exp.yaml:13:1 training: needs a block of keys and values, not 5"],
    last("training:"): ["exp.yaml:13:1 training: needs a block of keys and values, not nothing"],
    last("training:\n  steps 10"): [
        "exp.yaml:13:1 training: needs a block of keys and values, not the text 'steps 10'"
    ],
    last("training: {betas: [0.9, '0.99']}"): ["exp.yaml:13:25 training.betas.1: needs a number, not the text '0.99'"],
    replaced("channels: 1", "channels: '1'"): ["exp.yaml:3:19 image.channels: must be 1 or 3, not the text '1'"],
    # a number or a list
    replaced("patch: 2", "patch: two"): ["exp.yaml:7:3 cascade.patch: needs a whole number, not the text 'two'"],
    replaced("patch: 2", "patch: 2.5"): ["exp.yaml:7:3 cascade.patch: needs a whole number, not 2.5"],
    replaced("patch: 2", "patch: 0"): ["exp.yaml:7:3 cascade.patch: must be at least 1, not 0"],
    replaced("patch: 2", "patch: true"): ["exp.yaml:7:3 cascade.patch: needs a whole number, not true"],
    replaced("patch: 2", "patch:"): ["exp.yaml:7:3 cascade.patch: needs a whole number or a list, not nothing"],
    replaced("patch: 2", "patch: {a: 2}"): [
        "exp.yaml:7:3 cascade.patch: needs a whole number or a list, not a block of keys and values"
    ],
    replaced("patch: 2", "patch: [2, x]"): ["exp.yaml:7:14 cascade.patch.1: needs a whole number, not the text 'x'"],
    replaced("patch: 2", "patch: [2, true]"): ["exp.yaml:7:14 cascade.patch.1: needs a whole number, not true"],
    replaced("patch: 2", "patch: [2, 0]"): ["exp.yaml:7:14 cascade.patch.1: must be at least 1, not 0"],
    replaced("patch: 2", "patch: [[2, 2], 2]"): ["exp.yaml:7:11 cascade.patch.0: needs a whole number, not a list"],
    replaced("size: 16", "size: '16'"): [
        "exp.yaml:3:9 image.size: needs a whole number or a list of two, not the text '16'"
    ],
    replaced("size: 16", "size: [16, x]"): ["exp.yaml:3:20 image.size.1: needs a whole number, not the text 'x'"],
    replaced("size: 16", "size: 0"): ["exp.yaml:3:9 image.size: must be at least 1, not 0"],
    # lengths
    replaced("size: 16", "size: [16]"): ["exp.yaml:3:9 image.size: needs 2 entries, not 1"],
    replaced("size: 16", "size: [16, 16, 16]"): ["exp.yaml:3:9 image.size: needs at most 2 entries, not 3"],
    replaced("patch: 2", "patch: []"): ["exp.yaml:7:3 cascade.patch: needs at least 1 entries, not 0"],
    replaced("patch: 2", "patch: [2]"): ["exp.yaml:7:3 cascade.patch: has 1 entries for 2 stages"],
    replaced("steps: 3", "steps: [3, 3, 3]"): ["exp.yaml:12:3 sampling.steps: has 3 entries for 2 stages"],
    replaced("steps: 3", "guidance: {type: stagewise, shares: [1]}"): [
        "exp.yaml:12:31 sampling.guidance.shares: has 1 entries for 2 stages"
    ],
    last("training: {betas: []}"): ["exp.yaml:13:12 training.betas: needs 2 entries, not 0"],
    replaced("type: dit", "type: hourglass\n  level_channels: [16, 16]"): [
        "exp.yaml:10:3 backbone.level_channels: 2 entries halve patches 2 times, but cascade.patch is 2: make that a"
    ],
    last("objective: {stage_mix: [1]}"): ["exp.yaml:13:13 objective.stage_mix: needs 2 shares, one a stage"],
    last("objective: {stage_mix: [0, 0]}"): [
        "exp.yaml:13:13 objective.stage_mix: needs 2 shares, one a stage, not all"
    ],
    # ranges
    replaced("seed: 3", "seed: -1"): ["exp.yaml:2:1 seed: must be at least 0, not -1"],
    replaced("seed: 3", f"seed: {10**30}"): ["exp.yaml:2:1 seed: must be less than 9223372036854775808, not 1000000"],
    last("training: {steps: 0}"): ["exp.yaml:13:12 training.steps: must be at least 1, not 0"],
    last("training: {learning_rate: .inf}"): [
        "exp.yaml:13:12 training.learning_rate: must be a finite number, not inf"
    ],
    last("training: {learning_rate: .nan}"): [
        "exp.yaml:13:12 training.learning_rate: must be a finite number, not nan"
    ],
    last("training: {learning_rate: 1e999}"): [
        "exp.yaml:13:12 training.learning_rate: must be a finite number, not inf"
    ],
    last("training: {learning_rate: 0}"): ["exp.yaml:13:12 training.learning_rate: must be greater than 0, not 0"],
    last("training: {threads: 100000}"): ["exp.yaml:13:12 training.threads: must be at most 1024, not 100000"],
    last("training: {workers: 1000}"): ["exp.yaml:13:12 training.workers: must be at most 256, not 1000"],
    last("training: {ema: 1}"): ["exp.yaml:13:12 training.ema: must be less than 1, not 1"],
    last("training: {betas: [0.9, 1]}"): ["exp.yaml:13:25 training.betas.1: must be less than 1, not 1"],
    last("training: {lr_schedule: linear}"): [
        "exp.yaml:13:12 training.lr_schedule: must be 'constant' or 'cosine', not the text 'linear'"
    ],
    last("objective: {condition_dropout: 2}"): ["exp.yaml:13:13 objective.condition_dropout: must be at most 1, not 2"],
    replaced("channels: 1", "channels: 2"): ["exp.yaml:3:19 image.channels: must be 1 or 3, not 2"],
    replaced("stages: 2", "stages: 99999999999"): ["exp.yaml:6:3 cascade.stages: must be at most 12, not 99999999999"],
    replaced("depth: 2", "head_dim: 10"): [
        "exp.yaml:10:3 backbone.head_dim: must be a multiple of 4 for the 2-D RoPE; use 8 or 12"
    ],
    replaced("name: tiny", "name: ../x"): ["exp.yaml:1:1 name: may hold letters, digits, '.', '_' and '-'"],
    replaced("name: tiny", 'name: "a\\n"'): ["exp.yaml:1:1 name: may hold letters, digits, '.', '_' and '-'"],
    # missing
    replaced("name: tiny\n", ""): ["exp.yaml:1:1 name: is missing; add this key"],
    replaced("data: digits\n", ""): ["exp.yaml:1:1 data: is missing; add this key"],
    replaced("  type: dit\n", ""): ["exp.yaml:8:1 backbone: needs 'type', one of: dit"],
    replaced("data: digits", "data: {type: image_folder}"): ["exp.yaml:4:1 data.root: is missing; add this key"],
    replaced("data: digits", "data: image_folder"): ["exp.yaml:4:1 data.root: is missing; add this key"],
    "zzz: 1\n": [
        "exp.yaml:1:1 name: is missing",
        "exp.yaml:1:1 data: is missing",
        "exp.yaml:1:1 cascade: is missing",
        "exp.yaml:1:1 zzz: unknown key",
    ],
    # components
    replaced("data: digits", "data: digit"): [
        "exp.yaml:4:1 data: no dataset is called 'digit'; did you mean 'digits'?"
    ],
    replaced("data: digits", "data: 3"): [
        "exp.yaml:4:1 data: needs the name of a dataset, or a block with 'type', not 3"
    ],
    replaced("data: digits", "data:"): [
        "exp.yaml:4:1 data: needs the name of a dataset, or a block with 'type', not nothing"
    ],
    replaced("data: digits", "data: {type: digits, split: half}"): [
        "exp.yaml:4:22 data.split: must be 'all', 'even' or 'odd', not the text 'half'"
    ],
    replaced("steps: 3", "sampler: {type: [euler]}"): [
        "exp.yaml:12:3 sampling.sampler: no sampler is called ['euler']"
    ],
    replaced("steps: 3", "sampler: {type: dopri5, rtol: -1}"): [
        "exp.yaml:12:27 sampling.sampler.rtol: must be greater than 0, not -1"
    ],
    replaced("steps: 3", "sampler: {type: euler, rtol: 1}"): [
        "exp.yaml:12:26 sampling.sampler.rtol: unknown key (there are: type)"
    ],
    last("conditioners: class_label"): ["exp.yaml:13:1 conditioners: needs a list, not the text 'class_label'"],
    last("conditioners: [class_lable]"): [
        "exp.yaml:13:16 conditioners.0: no conditioner is called 'class_lable'; did you mean 'class_label'?"
    ],
    last("conditioners: [class_label, {type: class_label, classes: 0}]"): [
        "exp.yaml:13:49 conditioners.1.classes: must be at least 1, not 0"
    ],
    # geometry
    replaced("size: 16", "size: 17"): [
        "exp.yaml:3:9 image.size: height 17 cannot be cut into patches of 2 over 2 stages: "
        "it must be a multiple of 4; use 16 or 20"
    ],
    replaced("size: 16", "size: [16, 10]"): [
        "exp.yaml:3:9 image.size: width 10 cannot be cut into patches of 2 over 2"
    ],
    replaced("patch: 2", "patch: [3, 2]"): [
        "exp.yaml:3:9 image.size: height 16 cannot be cut into patches of 3/2 over"
    ],
    replaced("stages: 2", "kickoff: 3"): [
        "exp.yaml:6:3 cascade.kickoff: a kickoff of 3 tokens starts at 6 pixels, which"
    ],
    replaced("stages: 2", "kickoff: 1").replace("size: 16", "size: 8192"): [
        "exp.yaml:6:3 cascade.kickoff: makes 13 stages, at most 12 can be; raise it"
    ],
    replaced("stages: 2", "kickoff: 100"): [
        "exp.yaml:6:3 cascade.kickoff: a kickoff of 100 tokens starts at 200 pixels"
    ],
    replaced("stages: 2", "stages: 2\n  kickoff: 4"): [
        "exp.yaml:5:1 cascade: give exactly one of 'stages' and 'kickoff'"
    ],
    replaced("  stages: 2\n", ""): ["exp.yaml:5:1 cascade: give exactly one of 'stages' and 'kickoff'"],
    last("training: {batch_size: 8, grad_accumulation: 3}"): [
        "exp.yaml:13:27 training.grad_accumulation: 3 does not divide the batch size 8"
    ],
    # several at once, in the order of the model
    replaced("seed: 3", "seed: x\nsead: 1").replace("depth: 2", "depth: 0"): [
        "exp.yaml:2:1 seed: needs a whole number",
        "exp.yaml:11:3 backbone.depth: must be at least 1, not 0",
        "exp.yaml:3:1 sead: unknown key; did you mean 'seed'?",
    ],
    SPEC.replace("\n", "\r\n").replace("seed: 3", "seed: x"): ["exp.yaml:2:1 seed: needs a whole number"],
}

SYNTAX = {
    "": "exp.yaml is empty: it needs keys and values, such as  name: my-run",
    "# only a comment\n": "exp.yaml is empty",
    "- 1\n- 2\n": "exp.yaml:1:1 is not a spec: it needs keys and values",
    "just text": "exp.yaml:1:1 is not a spec",
    "---\na: 1\n---\nb: 2\n": "exp.yaml:3:1 is not valid YAML: found another document",
    "a: [1, 2": "exp.yaml:1:9 is not valid YAML: expected ',' or ']', but got '<stream end>'; a bracket is not closed",
    "a: b: c": "exp.yaml:1:5 is not valid YAML: mapping values are not allowed here; check the indentation",
    "a: 1\n b: 2": "exp.yaml:2:3 is not valid YAML: mapping values are not allowed here; check the indentation",
    "a:\n\t- 1": "exp.yaml:2:1 is not valid YAML: found character '\\t' that cannot start any token; indent with",
    "a: 'open": "exp.yaml:1:9 is not valid YAML: found unexpected end of stream; a quote is not closed",
    "@a: 1": "exp.yaml:1:1 is not valid YAML: found character '@' that cannot start any token; put the text in quotes",
    "a: {b: 1, }}": "exp.yaml:1:12 is not valid YAML: expected <block end>, but found '}'; check the indentation",
    "name: tiny\nseed": "exp.yaml:2:5 is not valid YAML: could not find expected ':'; a key needs a colon",
    "name: a\nname: b": "exp.yaml:2:1 name: this key stands here twice; remove one",
    "a: {b: 1, b: 2}": "exp.yaml:1:11 a.b: this key stands here twice; remove one",
    "3: 4": "exp.yaml:1:1 a key must be plain text",
    "? [a]\n: 1": "exp.yaml:1:3 a key must be plain text",
    "<<: {seed: 1}": "exp.yaml:1:1 a key must be plain text",
    "name: !!python/object/apply:os.system [ls]": "exp.yaml:1:7 the tag !!python/object/apply:os.system is not allowed",
    "name: !mine x": "exp.yaml:1:7 the tag !mine is not allowed in specs; remove it",
    "a: !!set {x}": "exp.yaml:1:4 the tag !!set is not allowed",
    "a: !!int x": "exp.yaml:1:4 'x' cannot be read as int",
    "a: !!bool x": "exp.yaml:1:4 'x' cannot be read as bool",
    f"a: {'1' * 5000}": "exp.yaml:1:4 '1111111111",
    "a: &x [1]\nb: [*x, *x]": "exp.yaml:2:5 aliases (*name) are not allowed in specs; write the value out",
    f"a: {'[' * 60}{']' * 60}": "exp.yaml:1:54 is nested more than 50 levels deep",
    f"a: {'[' * 20_000}": "exp.yaml:1:54 is nested more than 50 levels deep",
    "".join(
        f"key{index}: 1\n" for index in range(60_000)
    ): "exp.yaml:25000:11 is part 50001 of the document; this is no",
    "a: \x07": "exp.yaml:1:4 holds the control character 0x07; is this a text file?",
}

OVERRIDES = {
    "data={type: image_folder, root: 2024}": (
        "override 'data={type: image_folder, root: 2024}' data.root: "
        "needs the path of a file or folder, not 2024; put it in quotes: '2024', and \"'2024'\" on a command line"
    ),
    "evaluation.reference=[a]": (
        "override 'evaluation.reference=[a]' evaluation.reference: needs the path of a file or folder, not a list"
    ),
    "evaluation.reference=%d": (
        "override 'evaluation.reference=%d':1:2 is not valid YAML: "
        "found character '%' that cannot start any token; "
        "put the text in quotes ('...', and \"'...'\" on a command line)"
    ),
    "training.lr=1": "override 'training.lr=1' training.lr: unknown key; did you mean 'learning_rate'?",
    "lr=1": "override 'lr=1' lr: unknown key; did you mean 'training.learning_rate'?",
    "evaluation.metrics=fid": (
        "override 'evaluation.metrics=fid' evaluation.metrics: needs a list, not the text 'fid'; "
        "a list of one is written [fid]"
    ),
    "evaluation.metrics={type: fid}": (
        "override 'evaluation.metrics={type: fid}' evaluation.metrics: needs a list, not a block of keys and values; "
        "a list of one block stands in brackets"
    ),
    "cascade.kickoff=2": (
        "exp.yaml:5:1 cascade: give exactly one of 'stages' and 'kickoff'; "
        "set the other to null (kickoff: null, or cascade.kickoff=null)"
    ),
    "cascade={kickoff: 2, patch: [2, 4]}": (
        "override 'cascade={kickoff: 2, patch: [2, 4]}' cascade.patch: has 2 entries for 3 stages: a kickoff of 2 "
        "tokens of 2 pixels starts at 4 of 16; give a patch for each stage, or for 2 stages write  stages: 2  and  "
        "kickoff: null"
    ),
    "seed": "override 'seed': write it as key.path=value",
    "=3": "override '=3': write it as key.path=value",
    "cascade..patch=3": "override 'cascade..patch=3': write it as key.path=value",
    "seed=": "override 'seed=' seed: needs a whole number, not nothing",
    "seed=x": "override 'seed=x' seed: needs a whole number, not the text 'x'",
    "seed=[1": "override 'seed=[1':1:3 is not valid YAML",
    "seed=*a": "override 'seed=*a':1:1 aliases (*name) are not allowed",
    "seed=!!python/name:os.system": "override 'seed=!!python/name:os.system':1:1 the tag !!python/name:os.system is",
    "data=caf\udce9": "override 'data=caf\\udce9':1:4 holds the byte 0xe9, which is no UTF-8 text; give the file or",
    "sead=3": "override 'sead=3' sead: unknown key; did you mean 'seed'?",
    "training.stepss=3": "override 'training.stepss=3' training.stepss: unknown key; did you mean 'steps'?",
    "a.b.c=3": "override 'a.b.c=3' a: unknown key",
    "0=3": "override '0=3' 0: unknown key",
    "training=3": "override 'training=3' training: needs a block of keys and values, not 3",
    "seed.a=1": "override 'seed.a=1': 'a' lies below 3, which has no parts",
    "name.x=3": "override 'name.x=3' name: needs text, not a block of keys and values",
    "training.ema.x=3": "override 'training.ema.x=3' training.ema: needs a number, not a block of keys and values",
    "cascade.patch.0=3": "override 'cascade.patch.0=3': '0' lies below 2, which has no parts",
    "image.size=[16,16,1]": "override 'image.size=[16,16,1]' image.size: needs at most 2 entries, not 3",
    "cascade.patch=[2,x]": "override 'cascade.patch=[2,x]' cascade.patch.1: needs a whole number, not the text 'x'",
    "conditioners.0=class_label": "override 'conditioners.0=class_label' conditioners: needs a list, not a block",
    "data.type=digit": "override 'data.type=digit' data: no dataset is called 'digit'; did you mean 'digits'?",
    "sampling.guidance.type=[1]": "override 'sampling.guidance.type=[1]' sampling.guidance: no guidance is called [1]",
    "sampling.grid.shift=3": "override 'sampling.grid.shift=3' sampling.grid: needs 'type', one of: uniform",
    "data.splitt=odd": "override 'data.splitt=odd' data.splitt: unknown key; did you mean 'split'?",
}


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[str]]:
    """Exit code of ``pixelflow validate`` and its lines on stderr, without the program's name."""
    with pytest.raises(SystemExit) as stopped:
        main(["validate", *arguments])
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert all(line.startswith("pixelflow: ") for line in lines), captured.err
    return stopped.value.code, [line.removeprefix("pixelflow: ") for line in lines]


def begins(lines: list[str], expected: list[str]) -> bool:
    return len(lines) == len(expected) and all(
        line.startswith(start) for line, start in zip(lines, expected, strict=True)
    )


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "exp.yaml").write_text(SPEC)


def test_the_spec_that_is_broken_below_is_whole(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["validate", "exp.yaml"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == "ok: tiny, 16x16 pixels, 2 stages, patch 2, dit on digits\n"


@pytest.mark.parametrize(("text", "expected"), VALUES.items(), ids=[lines[0][:60] for lines in VALUES.values()])
def test_values(text, expected, tmp_path, capsys):
    (tmp_path / "exp.yaml").write_bytes(text.encode())
    code, lines = answer(capsys, "exp.yaml")
    assert code == 78
    assert begins(lines, expected), lines


@pytest.mark.parametrize(("text", "expected"), SYNTAX.items(), ids=[line[:50] for line in SYNTAX.values()])
def test_syntax(text, expected, tmp_path, capsys):
    (tmp_path / "exp.yaml").write_bytes(text.encode())
    code, lines = answer(capsys, "exp.yaml")
    assert code == 78
    assert begins(lines, [expected]), lines


def test_no_more_problems_are_listed_than_anybody_mends(tmp_path, capsys):
    (tmp_path / "exp.yaml").write_text(SPEC + "".join(f"key{index}: 1\n" for index in range(3000)))
    code, lines = answer(capsys, "exp.yaml")
    assert code == 78
    assert len(lines) == 21
    assert begins(lines[-1:], ["exp.yaml: and more than these 20"])


@pytest.mark.parametrize(("override", "expected"), OVERRIDES.items(), ids=OVERRIDES)
def test_overrides(override, expected, capsys):
    code, lines = answer(capsys, "exp.yaml", override)
    assert code == 78
    assert begins(lines, [expected]), lines


def test_an_override_reaches_into_lists(capsys):
    code, lines = answer(capsys, "exp.yaml", "cascade.patch=[2,2]", "cascade.patch.1=x")
    assert lines == ["override 'cascade.patch.1=x' cascade.patch.1: needs a whole number, not the text 'x'"]
    code, lines = answer(capsys, "exp.yaml", "cascade.patch=[2,2]", "cascade.patch.2=4")
    assert lines == ["override 'cascade.patch.2=4': '2' is no place in a list of 2, counted from 0"]
    assert code == 78


def test_a_later_override_takes_the_blame(capsys):
    _, lines = answer(capsys, "exp.yaml", "training.steps=0", "training={steps: 1}", "training.steps=-1")
    assert lines == ["override 'training.steps=-1' training.steps: must be at least 1, not -1"]


def test_a_missing_file_with_its_neighbour(capsys):
    assert answer(capsys, "exo.yaml") == (66, ["exo.yaml: there is no such file; did you mean exp.yaml?"])
    assert answer(capsys, "nowhere/exp.yaml") == (66, ["nowhere/exp.yaml: there is no such file"])
    assert answer(capsys, "exp.yaml/x") == (66, ["exp.yaml/x: cannot be read (Not a directory)"])


def test_a_folder(tmp_path, capsys):
    (tmp_path / "run").mkdir()
    assert answer(capsys, "run") == (66, ["run: is a folder; name a file"])
    (tmp_path / "run" / "spec.yaml").write_text(SPEC)
    assert answer(capsys, "run") == (66, ["run: is a folder; did you mean run/spec.yaml?"])


def test_what_is_no_text(tmp_path, capsys):
    file = tmp_path / "exp.yaml"
    file.write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00")
    assert answer(capsys, "exp.yaml") == (78, ["exp.yaml: is not UTF-8 text (byte 0); is this a spec?"])
    file.write_bytes(SPEC.encode("utf-16"))
    assert answer(capsys, "exp.yaml") == (78, ["exp.yaml: is not UTF-8 text (byte 0); is this a spec?"])
    file.write_bytes(b"a: 1\n\x00")
    assert answer(capsys, "exp.yaml") == (78, ["exp.yaml:2:1 holds the control character 0x00; is this a text file?"])
    file.write_bytes(b"#" * (2 << 20))
    assert answer(capsys, "exp.yaml") == (78, ["exp.yaml: is larger than 1048576 bytes; this is not a spec"])


def test_one_million_aliases_cost_nothing(tmp_path, capsys):
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True):
        bomb += f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    (tmp_path / "exp.yaml").write_text(bomb)
    assert answer(capsys, "exp.yaml") == (
        78,
        ["exp.yaml:2:8 aliases (*name) are not allowed in specs; write the value out"],
    )
