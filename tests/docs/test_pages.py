"""What the pages tell a reader to open is there."""

import re
from pathlib import Path

import pytest

from pixelflow.core import reading
from pixelflow.core.spec import ExperimentSpec

ROOT = Path(__file__).parents[2]
OTHERS = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "benchmarks/README.md")
PAGES = sorted([*(ROOT / name for name in OTHERS), *(ROOT / "docs").rglob("*.md")])


def name_of(page):
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_that_are_named_exist(page):
    text = page.read_text()
    links = [page.parent / target for target in re.findall(r"\]\(([^)#:]+)\)", text)]
    tracked = [ROOT / path for path in re.findall(r"\b(?:specs|benchmarks|docs)/[\w/.-]*\.(?:yaml|py|md|png)", text)]
    missing = [str(path) for path in [*links, *tracked] if not path.exists()]
    assert not missing


def slugs(page):
    """What a page's headings are linked by, as code hosts make it of them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_headings_that_are_linked_exist(page):
    links = re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text())
    missing = [(file, slug) for file, slug in links if slug not in slugs(page.parent / file if file else page)]
    assert not missing


def test_the_spec_of_the_readme_is_valid(tmp_path):
    block = re.search(r"^## A spec\n+```yaml\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    (tmp_path / "my.yaml").write_text(block[1])
    assert reading.validate(ExperimentSpec, reading.read_document(tmp_path / "my.yaml")).name == "my-cats"
