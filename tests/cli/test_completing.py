"""TAB offers runs, specs, sweeps, kinds and components, as the shell asks for them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from pixelflow.cli import completing
from pixelflow.system import journal
from tests import processes


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PIXELFLOW_CACHE", str(tmp_path / ".cache"))
    for name in ("digits", "dogs"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "spec.yaml").write_text("")
    (tmp_path / "runs" / "empty").mkdir()
    (tmp_path / "dig.yaml").write_text("")
    return tmp_path


def offered(*words: str) -> list[str]:
    """What bash is told for the last of these words."""
    environment = {
        **os.environ,
        "_PIXELFLOW_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(["pixelflow", *words]),
        "COMP_CWORD": str(len(words)),
    }
    return processes.run("-m", "pixelflow", env=environment).stdout.split()


@pytest.mark.parametrize(
    ("words", "some", "none"),
    [
        (["tra"], {"train", "train-extractor"}, {"sample"}),
        (["train", "dig"], {"dig.yaml", "digits"}, {"digits_table1", "cifar10"}),
        (["sweep", "run", "digits_t"], {"digits_table1"}, {"digits"}),
        (["sample", "runs/d"], {"runs/digits", "runs/dogs"}, {"runs/empty"}),
        (["export", "g"], {"geneval"}, {"dpg"}),
        (["init", "p"], {"pictures"}, {"digits"}),
        (["components", "samp"], {"sampler"}, {"grid"}),
        (["bench", "runs/digits", "--guidance", "c"], {"constant", "cfg_zero_star"}, {"none"}),
        (["rm", "runs/di"], {"runs/digits"}, {"runs/dogs"}),
        (["diff", "runs/digits", "runs/do"], {"runs/dogs"}, {"runs/digits"}),
        (["export-weights", "runs/d"], {"runs/digits", "runs/dogs"}, {"runs/empty"}),
        (["plot", "runs/digits", "runs/d"], {"runs/dogs"}, {"runs/empty"}),
        (["eval", "runs/digits", "--weights", ""], {"ema", "raw"}, set()),
    ],
)
def test_is_offered(words: list[str], some: set[str], none: set[str]):
    found = set(offered(*words))
    assert some <= found
    assert not none & found


def test_components_are_remembered_until_something_changes(here: Path):
    assert completing.kinds("sampl") == ["sampler"]
    file = here / ".cache" / "completion" / "components.json"
    key = json.loads(file.read_text())["key"]

    def remembered(key: list[str]) -> str:
        return journal.sealed({"key": key, "kinds": {"sampler": ["of the cache"]}}, journal.Position()).text

    file.write_text(remembered(key))
    assert completing.components("sampler")("") == ["of the cache"]
    flipped = remembered(key).replace("of the cache", "or the cache")
    for spoilt in ("[]", "{", "", "[" * 100_000, flipped, json.dumps({"key": key, "kinds": {}}), remembered(["older"])):
        file.write_text(spoilt)
        assert "heun" in completing.components("sampler")("")


def test_a_component_that_is_added_to_an_editable_plugin_is_offered(here: Path, monkeypatch: pytest.MonkeyPatch):
    """Its version stays the same while its author works on it."""
    source, info = here / "source", here / "site" / "acme-1.0.dist-info"
    for folder in (source / "acme", info):
        folder.mkdir(parents=True)
    (source / "acme" / "__init__.py").write_text("")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[pixelflow]\nacme = acme\n")
    (info / "direct_url.json").write_text(json.dumps({"url": source.as_uri(), "dir_info": {"editable": True}}))
    monkeypatch.syspath_prepend(here / "site")
    before = completing._installed()
    assert completing._installed() == before
    (source / "acme" / "sampler.py").write_text("")
    after = completing._installed()
    assert after != before
    (info / "RECORD").write_text("acme.py,sha256=x,1\n")
    assert completing._installed() != after
