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
