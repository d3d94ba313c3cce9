"""Files for those who build, cite and mend: what they name is there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

import pixelflow

ROOT = Path(__file__).parents[1]
TARGETS = set(re.findall(r"^([\w$()./]+):", (ROOT / "Makefile").read_text(), re.M))


def made(text: str) -> set[str]:
    """What some lines of a shell make."""
    calls = re.findall(r"\bmake ((?:[\w./]+(?: |$))+)", text, re.M)
    return {word for call in calls for word in call.split()}


def test_workflows_and_images_make_what_the_makefile_has():
    marks = {".venv/.base": "$(BASE)", ".venv/.ready": "$(READY)"}
    found = set()
    for file in (".github/workflows/tests.yml", ".ci/run", "Dockerfile"):
        text = (ROOT / file).read_text()
        commands = [line.partition("RUN ")[2] or line.partition("run: ")[2] or line for line in text.splitlines()]
        found |= made("\n".join(line for line in commands if line.startswith("make")))
    assert {"test", "lint", "docs", ".venv/.base"} <= found
    assert {marks.get(target, target) for target in found} <= TARGETS


def test_the_suite_runs_with_the_pins_and_with_the_newest_versions():
    jobs = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text())["jobs"]
    steps = {name: [step.get("with", {}) | step for step in job["steps"]] for name, job in jobs.items()}
    pythons = {name: {one["python-version"] for one in own if "python-version" in one} for name, own in steps.items()}
    calls = {name: [one["run"].split() for one in own if "run" in one] for name, own in steps.items()}
    newest = max(re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text()), key=lambda one: int(one[2:]))
    assert (pythons["pinned"], pythons["newest"]) == ({"3.11"}, {newest})
    assert ["make", "test", "PYTHON=python", "CONSTRAINTS="] in calls["newest"]
    assert any(words[:2] == ["make", "test"] and "CONSTRAINTS=" not in words for words in calls["pinned"])


def test_the_demo_installs_the_base_alone():
    """What only the tests need is half of what they install."""
    rules = re.findall(r"^([\w$()./]+):([^\n]*)\n((?:\t[^\n]*\n)+)", (ROOT / "Makefile").read_text(), re.M)
    needs = {target: (before.split(), recipe) for target, before, recipe in rules}
    assert needs["demo"][0] == ["$(BASE)"]
    installed = [line.split() for line in needs["$(BASE)"][1].splitlines() if "$(PIP_INSTALL)" in line]
    assert installed == [["$(PIP_INSTALL)", "--editable", "."]]


def test_the_image_runs_the_lowest_python_that_is_promised():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (version,) = re.findall(r"^FROM python:([\d.]+)-", (ROOT / "Dockerfile").read_text(), re.M)
    assert project["requires-python"] == f">={version}"


def test_the_citation_is_of_this_version_and_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == pixelflow.__version__
    assert citation["license"] == "MIT"
    assert citation["references"][0]["title"] in (ROOT / "README.md").read_text()


def test_hooks_and_forms_are_whole():
    (own,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert {hook["id"] for hook in own["hooks"]} >= {"ruff", "format", "mypy"}
    for hook in own["hooks"]:
        for word in hook["entry"].split():
            assert not word.startswith("tests/") or (ROOT / word).exists()
    for form in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"):
        content = yaml.safe_load(form.read_text())
        assert form.stem == "config" or all("label" in part["attributes"] for part in content["body"])
