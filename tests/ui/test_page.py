"""The page as its server answers, asked by gradio's own client: without a browser, on the real handlers of every tab.

Skipped where gradio is not installed: it needs Pillow below 13, so that ``make test`` does not bring it along.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pixelflow
from tests.conftest import TINY, make_run, make_spec

pytest.importorskip("gradio", reason="the page needs gradio (and Pillow below 13): pip install 'pixelflow-toolkit[ui]'")
gradio_client = pytest.importorskip("gradio_client", reason="it comes with gradio")

FIELDS = (["class 3"], "", "", 5, 2, "1,2", "1,2.5", "euler", "uniform", "")
"""Labels, prompt, negative, seed, images, steps, guidance, sampler, grid and size, as the tabs have them."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("page") / "runs"
    folder.mkdir()
    for seed, name in enumerate(("first", "second")):
        make_run(folder / name, make_spec(f"name={name}"), seed=seed)
    (folder / "broken").mkdir()
    (folder / "broken" / "spec.yaml").write_text("a: [")
    (folder / "tiny.yaml").write_text(TINY)
    return folder


@pytest.fixture(scope="module")
def page(runs):
    from pixelflow.ui.page import serve

    client = gradio_client.Client(serve(runs, None, "cpu", wait=False), verbose=False)
    client.predict("first", api_name="/fitting")  # what a browser does as it opens: the classes of the run are offered
    return client


def test_all_tabs_are_there(page):
    shown = [one["props"].get("label") for one in page.config["components"] if one["type"] == "tabitem"]
    assert shown == ["Sample", "Edit", "Compare", "Watch", "Train", "Sweeps"]


def test_what_is_drawn_is_what_the_run_draws(page, runs):
    _, gallery, told = page.predict("first", "newest", "ema", *FIELDS, api_name="/drawn")
    drawn = pixelflow.load(runs / "first", device="cpu").images(
        labels=["class 3"], seed=5, count=2, steps=[1, 2], guidance=[1.0, 2.5], sampler="euler"
    )
    assert "1 + 4" in told
    assert len(gallery) == 2
    for shown, own in zip(gallery, drawn, strict=True):
        with Image.open(shown["image"]) as picture:
            small = picture.convert("L").resize(own.size, Image.Resampling.NEAREST)
        assert np.array_equal(np.asarray(small), np.asarray(own))


def test_wrong_input_is_the_command_lines_line(page):
    wrong = (*FIELDS[:7], "eular", *FIELDS[8:])
    *_, told = page.predict("first", "newest", "ema", *wrong, api_name="/drawn")
    assert told.startswith("pixelflow: ")
    assert "euler" in told
    *_, told = page.predict("broken", "newest", "ema", *FIELDS, api_name="/drawn")
    assert told.startswith("pixelflow: ")


def test_it_tells_how_to_repeat_what_was_drawn(page):
    command, python, record, _ = page.predict("first", "newest", "ema", *FIELDS, api_name="/copied")
    assert "--labels 'class 3' --seed 5 --count 2 --steps 1,2" in command
    assert "pixelflow.load(" in python
    assert '"seeds"' in record


def test_runs_are_watched_and_a_broken_one_is_a_line(page):
    assert any("7" in str(one) for one in page.predict("first", api_name="/seen"))
    assert any("pixelflow: " in str(one) for one in page.predict("broken", api_name="/seen"))
