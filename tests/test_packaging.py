"""What is installed: its name, what it brings, and what lies in the archives that people install from."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from pixelflow.cli.new_plugin import CHOICES, files
from pixelflow.core.distribution import DISTRIBUTION, install

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
HINT = re.compile(r"pip install '?([\w-]+)\[([\w,]+)\]|install\(['\"]([\w,]+)['\"]\)")


def test_the_constant_is_the_name():
    assert PROJECT["name"] == DISTRIBUTION


def test_every_hint_names_the_distribution_and_extras_that_there_are():
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "pixelflow").rglob("*.py")]
    found = [(page, *hit) for page in pages for hit in HINT.findall(page.read_text())]
    assert len(found) > 15
    for page, name, told, given in found:
        assert name in ("", DISTRIBUTION), page
        assert set((told or given).split(",")) <= set(PROJECT["optional-dependencies"]), page
    assert install("t5") == "pip install 'pixelflow-toolkit[t5]'"


@pytest.mark.parametrize("kind", CHOICES)
def test_new_plugins_ask_for_the_distribution(kind: str):
    assert tomllib.loads(files("acme", kind)["pyproject.toml"])["project"]["dependencies"] == [DISTRIBUTION]


def test_the_example_plugins_ask_for_the_distribution():
    for file in (ROOT / "plugins").glob("*/pyproject.toml"):
        assert tomllib.loads(file.read_text())["project"]["dependencies"] == [DISTRIBUTION]


def test_what_is_always_installed_leaves_the_users_torch_alone():
    """torchvision's releases are each made for one torch, so whatever asks for it may replace the user's."""
    base = {re.split(r"[^\w-]", line)[0] for line in PROJECT["dependencies"]}
    assert not base & {"torchvision", "clean-fid", "open-clip-torch", "timm", "xformers", "torchaudio"}
    assert [line for line in PROJECT["dependencies"] if line.startswith("torch>=")] == ["torch>=2.6"]
    assert not [line for line in PROJECT["dependencies"] if line.startswith("scipy") and "<" in line]
