"""Every kind has a page; what it quotes is the code's, its example runs, and its piece of a spec validates."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest
import yaml

from pixelflow import contracts
from pixelflow.cli.new_plugin import SKELETON
from pixelflow.core import hookspecs, kinds, plugins, reading
from pixelflow.core.component import Component
from pixelflow.core.registry import registry
from pixelflow.core.spec import ExperimentSpec
from pixelflow.generation.rewriting import Choice

DOCS = Path(__file__).parents[2] / "docs"
KINDS = {kind.name: kinds.resolved(kind.interface) for kind in kinds.BUILT_IN}
IN_SPECS = [kind.name for kind in kinds.BUILT_IN if kind.command == "train SPEC"]


def block(page: Path, language: str) -> str:
    """The only fenced block of this language on a page."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return found


def test_every_kind_has_a_page_and_no_page_is_left_over():
    assert {page.stem for page in (DOCS / "kinds").glob("*.md")} == set(KINDS)


def test_the_index_is_the_table():
    rows = re.findall(r"^\| \[(\w+)\]\(kinds/(\w+)\.md\) \| (.*) \|$", (DOCS / "README.md").read_text(), re.MULTILINE)
    assert rows == [(kind.name, kind.name, kind.title) for kind in kinds.BUILT_IN]


@pytest.mark.parametrize("kind", KINDS)
def test_the_signature_is_the_codes(kind):
    assert block(DOCS / f"kinds/{kind}.md", "python signature").rstrip() == inspect.getsource(KINDS[kind]).rstrip()


@pytest.mark.parametrize("kind", KINDS)
def test_the_example_is_what_new_plugin_writes_and_keeps_its_contract(kind, tmp_path, monkeypatch):
    code = block(DOCS / f"kinds/{kind}.md", "python example")
    assert code == (SKELETON / f"{kind}.py").read_text()
    name = f"example_{kind}"
    (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module(name)
    (cls,) = (
        each
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, KINDS[kind]) and each is not KINDS[kind]
    )
    broken = [outcome for outcome in contracts.check(cls.Params()) if outcome.status != "kept"]
    assert not broken


def rows(kind: str) -> dict[str, list[str]]:
    """The table of what there is on a kind's page: type -> the other columns."""
    text = (DOCS / f"kinds/{kind}.md").read_text()
    found = re.findall(r"^\| `(\w+)` \| (.*) \|$", text.partition("## What there is")[2].partition("\n## ")[0], re.M)
    return {name: [cell.strip() for cell in cells.split(" | ")] for name, cells in found}


def built_in(kind: str) -> dict[str, type[Component]]:
    plugins.load()
    return {name: entry.cls for name, entry in registry.of_kind(kind).items() if entry.origin == "pixelflow"}


def test_the_table_of_samplers_is_the_codes():
    stated = {name: (int(order), float(cost.split()[0])) for name, (order, cost, *_) in rows("sampler").items()}
    assert set(stated) == set(built_in("sampler"))
    for name, cls in built_in("sampler").items():
        assert stated[name][0] == cls.order
        if not cls.is_adaptive:
            assert stated[name][1] == cls.nfe_per_step


def test_the_table_of_guidance_names_all_that_there_is():
    assert set(rows("guidance")) == set(built_in("guidance"))


def test_the_rewriter_on_its_page_validates():
    choice = reading.parse(block(DOCS / "kinds/rewriter.md", "yaml"), "rewriter.md")
    assert reading.validate(Choice, choice).rewriter.component.type_name() == "mapping"


@pytest.mark.parametrize("kind", IN_SPECS)
def test_the_piece_of_a_spec_validates(kind, tiny_file):
    spec = yaml.safe_load(tiny_file.read_text())
    spec.update(yaml.safe_load(block(DOCS / f"kinds/{kind}.md", "yaml")))
    reading.validate(ExperimentSpec, reading.parse(yaml.safe_dump(spec), f"{kind}.md"))


def test_the_hook_is_quoted():
    source = inspect.getsource(hookspecs.register_components).replace("  # type: ignore[empty-body]", "")
    assert block(DOCS / "plugins.md", "python signature") == source.removeprefix("@hookspec\n")


def test_every_hook_is_on_the_page():
    page = (DOCS / "plugins.md").read_text()
    hooks = [name for name, hook in vars(hookspecs).items() if inspect.isfunction(hook)]
    assert hooks
    assert all(f"def {name}(" in page for name in hooks)


def test_links_lead_somewhere():
    for page in (DOCS / "README.md", DOCS / "plugins.md", *(DOCS / "kinds").glob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+\.md)", page.read_text()):
            assert (page.parent / target).exists(), f"{page}: {target}"
