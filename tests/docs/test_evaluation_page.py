"""The page on evaluation names every metric and extractor, the right hash, and pieces of specs that validate."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from pixelflow.core import plugins, reading
from pixelflow.core.registry import registry
from pixelflow.core.spec import ExperimentSpec
from pixelflow.metrics.inception import INCEPTION
from pixelflow.metrics.inception_pytorch import PT_INCEPTION

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "evaluation.md").read_text()
plugins.load()


def built_in(kind: str) -> list[str]:
    return [name for name, entry in registry.of_kind(kind).items() if entry.origin == "pixelflow"]


@pytest.mark.parametrize("name", built_in("metric"))
def test_every_metric_has_a_row(name):
    assert re.search(rf"^\| `{name}`", PAGE, re.MULTILINE)
    assert f"`{name}`" in (DOCS / "kinds/metric.md").read_text()


@pytest.mark.parametrize("name", built_in("extractor"))
def test_every_extractor_is_listed(name):
    assert f"| `{name}` |" in (DOCS / "kinds/extractor.md").read_text()


@pytest.mark.parametrize("file", [INCEPTION, PT_INCEPTION])
def test_the_hash_and_the_source_are_those_that_are_checked(file):
    for part in (file.name, file.url, file.sha256):
        assert part in PAGE


@pytest.mark.parametrize("block", re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
def test_pieces_of_specs_validate(block, tiny_file):
    spec = yaml.safe_load(tiny_file.read_text()) | yaml.safe_load(block)
    reading.validate(ExperimentSpec, reading.parse(yaml.safe_dump(spec), "evaluation.md"))
