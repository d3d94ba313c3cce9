"""The example plugins, installed with pip, work by name; what they are tested for is what any plugin gets."""

from __future__ import annotations

import json
import os
import tomllib

import pytest
from distributions import ROOT, Site, pip_install

from tests.conftest import TINY, make_run, make_spec

NAMES = ("ralston", "fourpoint", "lessons", "superres", "zoo")
EXAMPLES = tuple(f"pixelflow-{name}" for name in NAMES)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    site = Site(tmp_path_factory.mktemp("site"))
    pip_install([ROOT / "plugins" / name for name in EXAMPLES], site.path)
    return site


def test_their_own_tests_pass(site):
    tests = [str(ROOT / f"plugins/pixelflow-{name}/tests") for name in NAMES]
    done = site.run("-m", "pytest", "-q", "-p", "no:cacheprovider", *tests)
    assert done.returncode == 0, done.stdout
    assert "." * 12 in done.stdout


@pytest.fixture(scope="module")
def answers(site):
    """What the commands say that need no spec."""
    commands = {
        "components": ["components"],
        "schema": ["schema"],
        "check": ["check-plugin", "ralston"],
        "check with": ["check-plugin", "ralston", "ralston.rk3.third=1.0"],
        "check with wrong": ["check-plugin", "ralston", "ralston.rk3.third=7"],
        "check a stranger": ["check-plugin", "ralston", "ralston.rk4.third=1"],
        "check nobody": ["check-plugin", "nobody"],
    }
    return dict(zip(commands, site.pixelflow(*commands.values()), strict=True))


def test_is_listed_with_origin_and_parameters(answers):
    code, listed, said = answers["components"]
    assert code == 0, said
    assert "ralston.rk3  [ralston (pixelflow-ralston 1.0.0)]" in listed
    assert "fourpoint.dual  [fourpoint (pixelflow-fourpoint 1.0.0)]" in listed
    assert "second = 0.5" in listed
    assert "Where in the step the third evaluation lies." in listed


def test_appears_in_the_schema(answers):
    schema = answers["schema"].out
    json.loads(schema)
    assert '"ralston.rk3"' in schema
    assert '"fourpoint.dual"' in schema
    assert "Where in the step the third evaluation lies." in schema


def test_check_plugin_names_every_promise(answers):
    code, said, _ = answers["check"]
    assert code == 0, said
    assert "sampler ralston.rk3" in said
    assert said.count("kept") >= 6


def test_check_plugin_takes_settings(answers):
    assert answers["check with"].code == 0
    assert answers["check with wrong"].code == 78
    assert "third" in answers["check with wrong"].err
    assert answers["check a stranger"].code == 2


def test_check_plugin_knows_what_is_installed(answers):
    assert answers["check nobody"].code == 66
    assert "ralston" in answers["check nobody"].err


SAMPLED = """
import torch
from pathlib import Path
from pixelflow.core import assembly, reading
from pixelflow.core.sampling import SeededNoise, generate
from pixelflow.core.spec import ExperimentSpec
spec = reading.validate(ExperimentSpec, reading.read_document(Path("named.yaml")))
model = assembly.build_model(spec).eval()
plan = assembly.build_plan(spec.sampling, spec.stages)
labels = model.prepare({"label": [1, 2]})
condition, null = model.condition(labels), model.condition(model.null(2))
noise = SeededNoise([1, 2], torch.device("cpu"))
images, spent = generate(model, plan, condition, null, noise, (1, 16, 16))
assert images.isfinite().all()
print(tuple(images.shape), spent.by_stage)
"""


def test_is_used_by_name(site, tiny_file, tmp_path):
    text = tiny_file.read_text().replace(
        "sampling: {steps: 3,", "sampling: {steps: 3, sampler: {type: ralston.rk3, third: 1.0},"
    )
    (tmp_path / "named.yaml").write_text(text.replace("patch: 2}", "patch: 2, up: fourpoint.dual}"))
    done = site.run("-c", SAMPLED, cwd=tmp_path)
    assert done.stdout.strip() == "(2, 1, 16, 16) [18, 18]", done.stderr


def test_objectives_are_trained_by_name(site, tiny_file, tmp_path):
    """A weighting and a perceptual term; then a student of that run, which learns its guided velocity."""
    options = ["training.steps=2", "--out", str(tmp_path), "--device", "cpu", "--run"]
    weighted = ["objective.weighting={type: lessons.cosine, depth: 0.9}", "objective.terms=[lessons.sharp]"]
    taught = [f"objective={{type: lessons.guided, teacher: {tmp_path / 'weighted'}}}", "training.learning_rate=1e-2"]
    letters = make_run(tmp_path / "letters", make_spec(), classes=tuple("abcdefghij"))
    answers = site.pixelflow(
        ["train", str(tiny_file), *weighted, *options, "weighted"],
        ["train", str(tiny_file), *taught, *options, "taught"],
        ["train", str(tiny_file), *taught, "objective.teacher=nowhere", *options, "orphan"],
        ["sample", str(tmp_path / "taught"), "--labels", "1", "--steps", "1"],
        ["train", str(tiny_file), *taught, f"objective.teacher={letters}", *options, "stranger"],
    )
    assert [answer.code for answer in answers] == [0, 0, 66, 0, 65], [answer.err for answer in answers]
    assert "the training data and the teacher have different classes: 0, 1" in answers[4].err
    assert "nowhere" in answers[2].err
    plain, spec = json.loads((tmp_path / "weighted/metrics.jsonl").read_text().splitlines()[0]), tmp_path / "taught"
    assert plain["loss"] > 0
    assert "lessons.guided" in (spec / "spec.yaml").read_text()


def test_a_run_is_sampled_without_the_plugin_of_its_objective(site, tiny_file, tmp_path):
    asked = ["objective={type: lessons.guided, prediction: clean}", "training.steps=1", "--out", str(tmp_path)]
    ((code, _, said),) = site.pixelflow(["train", str(tiny_file), *asked, "--run", "orphan", "--device", "cpu"])
    assert code == 0, said
    empty = Site(tmp_path / "empty")
    empty.path.mkdir()
    sampled, trained = empty.pixelflow(
        ["sample", str(tmp_path / "orphan"), "--labels", "1", "--steps", "1"],
        ["train", str(tiny_file), *asked, "--run", "orphan"],
    )
    assert sampled.code == 0, sampled.err
    assert trained.code == 78


MISTAKES = {
    "third: 2.0": "sampling.sampler.third: must be at most 1",
    "thrid: 0.9": "did you mean 'third'?",
    "third: 0.5": "must differ from 'second'",
}


def test_its_settings_are_checked_at_their_own_line(site, tiny_file, tmp_path):
    plain = tiny_file.read_text().rpartition("sampling:")[0].strip()
    row = plain.count("\n") + 6
    commands = []
    for number, mistake in enumerate(MISTAKES):
        block = f"sampling:\n  steps: 3\n  sampler:\n    type: ralston.rk3\n    {mistake}\n"
        (tmp_path / f"{number}.yaml").write_text(f"{plain}\n{block}")
        commands.append(["validate", f"{number}.yaml"])
    answers = site.pixelflow(*commands, cwd=tmp_path)
    for number, (answer, said) in enumerate(zip(answers, MISTAKES.values(), strict=True)):
        assert answer.code == 78
        assert f"{number}.yaml:{row}:5" in answer.err
        assert said in answer.err


def test_new_plugin_writes_components_of_a_plugins_own_kind(site, tmp_path):
    """Of which the plugin gives an example: they keep the kind's promises and are named in its slot."""
    line = ["new-plugin", "mine", "--kind", "superres.lowering", "--out", str(tmp_path)]
    assert [answer.code for answer in site.pixelflow(line, [*line, "--add"])] == [0, 0]
    own = Site(tmp_path / "pixelflow-mine")
    project = tomllib.loads((own.path / "pyproject.toml").read_text())["project"]
    assert project["dependencies"] == ["pixelflow-toolkit", "pixelflow-superres"]
    own.metadata("pixelflow_mine", "[pixelflow]\nmine = pixelflow_mine\n")
    both = Site(f"{own.path}{os.pathsep}{site.path}")
    (tmp_path / "tiny.yaml").write_text(TINY)
    choice = ["data={type: superres.lowered, lowering: mine.pick_2}"]
    checked, valid = both.pixelflow(["check-plugin", "mine"], ["validate", str(tmp_path / "tiny.yaml"), *choice])
    assert checked.code == 0, checked.out + checked.err
    assert "superres.lowering mine.pick\n" in checked.out
    assert "superres.lowering mine.pick_2\n" in checked.out
    assert valid.code == 0, valid.err
    other = [["new-plugin", "other", "--out", str(tmp_path)], ["new-plugin", "other", "--add", *line[2:]]]
    assert [answer.code for answer in site.pixelflow(*other)] == [0, 0]
    assert '"pixelflow-superres", "pixelflow-toolkit"' in (tmp_path / "pixelflow-other/pyproject.toml").read_text()
