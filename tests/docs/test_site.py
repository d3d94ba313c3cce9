"""The documentation site: its reference says what the code says, its start page leads everywhere, and it builds."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from pixelflow.core import plugins
from pixelflow.core.registry import registry
from pixelflow.core.spec import ExperimentSpec

ROOT = Path(__file__).parents[2]
SITE = ROOT / "docs/site"


@pytest.fixture(scope="module")
def pages():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SITE)
        import reference

        return reference.pages()


def section(page: str, title: str) -> str:
    (found,) = re.findall(rf"^##+ {re.escape(title)}\n(.*?)(?=^##+ |^```{{toctree|\Z)", page, re.M | re.S)
    return found


def test_every_component_is_there_with_all_its_settings(pages):
    plugins.load()
    for kind, name, entry in registry:
        if entry.origin == "pixelflow":
            shown = section(pages[f"components/{kind}.md"], name)
            named = re.findall(r"^\| `(\w+)` \|", shown, re.M)
            assert named == [field for field in entry.cls.Params.model_fields if field != "type"], (kind, name)


def test_every_setting_of_a_spec_is_there(pages):
    page = pages["settings.md"]
    assert re.findall(r"^\| `(\w+)` \|", section(page, "At the top"), re.M) == list(ExperimentSpec.model_fields)
    for block in ("image", "cascade", "training", "sampling", "evaluation"):
        settings = ExperimentSpec.model_fields[block].annotation.model_fields
        assert re.findall(r"^\| `(\w+)` \|", section(page, block), re.M) == list(settings)


def test_every_command_is_there_with_its_help(pages):
    for command in ("train", "sample", "sweep", "sweep status", "check-plugin"):
        assert "Usage: pixelflow" in section(pages["commands.md"], f"pixelflow {command}")


@pytest.mark.slow
@pytest.mark.skipif(find_spec("sphinx") is None, reason="needs the extra docs")
def test_it_builds_without_a_warning_and_its_own_links_lead_somewhere(tmp_path):
    done = subprocess.run(
        [sys.executable, str(SITE / "build.py"), str(tmp_path / "site")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for page in (tmp_path / "site").rglob("*.html"):
        for target in re.findall(r'(?:href|src)="([^"#?:]+)[#?"]', page.read_text()):
            assert (page.parent / target).exists(), f"{page}: {target}"
    assert (tmp_path / "site/searchindex.js").stat().st_size > 100_000
