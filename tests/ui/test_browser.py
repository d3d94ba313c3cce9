"""The page in a real browser: what every tab shows and writes. Needs gradio, playwright and chromium.

With PIXELFLOW_SCREENSHOTS=FOLDER the pictures of docs/page.md are written there.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import TINY, make_run, make_spec
from tests.sweep.conftest import QUICK

pytest.importorskip("gradio", reason="the page needs gradio: pip install 'pixelflow-toolkit[ui]'")
playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed")]

VIEW = {"width": 1200, "height": 1250}
WAIT = 120_000
"""Milliseconds."""
EXPECTED = re.compile("net::ERR_ABORTED")
"""A picture that a newer one took the place of."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """The demo's run where it was trained, else two of random weights."""
    folder = tmp_path_factory.mktemp("page") / "runs"
    folder.mkdir()
    given = os.environ.get("PIXELFLOW_PAGE_RUN")
    for seed, name in enumerate(("first", "second")):
        if given:
            shutil.copytree(given, folder / name)
        else:
            make_run(folder / name, make_spec(f"name={name}"), seed=seed)
    (folder / "broken").mkdir()
    (folder / "broken" / "spec.yaml").write_text("a: [")
    (folder / "tiny.yaml").write_text(TINY)
    return folder


@pytest.fixture(scope="module")
def address(runs) -> Iterator[str]:
    """Of a page that the ordinary command serves."""
    command = [sys.executable, "-m", "pixelflow", "ui", runs.name, "--device", "cpu"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=runs.parent)
    try:
        assert process.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())
        assert found
        yield found[0]
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def browser():
    quiet = (
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
    )
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=list(quiet))
        yield opened
        opened.close()


@pytest.fixture
def page(browser, address):
    """Opened anew; at its end nothing was asked of another machine, and the browser had nothing to complain of."""
    shown = browser.new_page(viewport=VIEW)
    shown.set_default_timeout(WAIT)
    foreign: list[str] = []
    wrong: list[str] = []
    own = (address, "data:", "blob:")
    shown.on("request", lambda request: foreign.append(request.url) if not request.url.startswith(own) else None)
    shown.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    shown.goto(address)
    shown.wait_for_selector("#sample-draw")
    yield shown
    shown.close()
    assert not foreign
    assert not [text for text in wrong if not EXPECTED.search(text)]


def choose(page, field: str, value: str) -> None:
    """One of a dropdown's entries."""
    page.fill(f"#{field} input", value)
    page.get_by_role("option", name=value, exact=True).last.click()


def tab(page, name: str) -> None:
    page.get_by_role("tab", name=name).click()


def said(page, field: str, text: str) -> str:
    """What a line says once it holds `text`."""
    line = page.locator(f"#{field} textarea")
    playwright.expect(line).to_have_value(re.compile(re.escape(text)), timeout=WAIT)
    return line.input_value()


def keep(page, name: str) -> None:
    folder = os.environ.get("PIXELFLOW_SCREENSHOTS")
    if folder:
        page.set_viewport_size({"width": 1200, "height": 500})  # no taller than what is shown
        page.wait_for_timeout(1500)
        page.screenshot(path=str(Path(folder) / f"page-{name}.png"), full_page=True)
        page.set_viewport_size(VIEW)


def test_sampling_shows_the_stages_and_the_images_and_how_to_repeat_them(page):
    choose(page, "sample-run", "first")
    page.fill("#sample-seed input", "3")
    page.click("#sample-draw")
    assert "NFE each by stage" in said(page, "sample-told", "NFE")
    page.wait_for_selector("#sample-strip img")
    assert page.locator("#sample-gallery img").count() >= 4
    keep(page, "sample")
    page.get_by_text("Copy as").click()
    said(page, "copy-command", "pixelflow sample runs/first --step ")
    said(page, "copy-record", "sha256")
    page.get_by_text("Guidance over time").click()
    page.wait_for_selector("#sample-curve img")


def test_bad_input_is_the_command_lines_line_and_the_page_lives_on(page):
    choose(page, "sample-run", "first")
    page.fill("#sample-steps textarea, #sample-steps input", "0")
    page.click("#sample-draw")
    assert said(page, "sample-told", "pixelflow:").startswith("pixelflow: ")
    page.fill("#sample-steps textarea, #sample-steps input", "1")
    page.click("#sample-draw")
    said(page, "sample-told", "NFE")


def test_stop_stops(page):
    choose(page, "sample-run", "first")
    page.fill("#sample-steps textarea, #sample-steps input", "1000")
    page.click("#sample-draw")
    said(page, "sample-told", "stage 1")
    page.click("#sample-stop")
    said(page, "sample-told", "stopped after")


def test_a_grid_over_two_settings(page):
    choose(page, "sample-run", "first")
    page.fill("#sample-steps textarea, #sample-steps input", "1")
    page.get_by_text("Keep this seed, vary that").click()
    page.click("#vary-draw")
    said(page, "sample-told", "6 of 6")
    page.wait_for_selector("#vary-grid img")
    keep(page, "vary")


def test_a_broken_run_is_a_line(page):
    choose(page, "sample-run", "broken")
    page.click("#sample-draw")
    assert "is not valid YAML" in said(page, "sample-told", "pixelflow:")
    tab(page, "Watch")
    choose(page, "watch-run", "broken")
    said(page, "watch-told", "is not valid YAML")


def test_an_image_of_the_run_is_edited(page):
    tab(page, "Edit")
    choose(page, "edit-run", "first")
    page.click("#edit-draw")
    assert "there is no image" in said(page, "edit-told", "pixelflow:")
    page.click("#edit-take")
    said(page, "edit-told", "an image of the run itself")
    page.click("#edit-draw")
    said(page, "edit-told", "NFE")
    page.wait_for_selector("#edit-made img")
    keep(page, "edit")


def test_the_way_from_a_seed_to_another_is_an_animation_and_a_strip(page):
    tab(page, "Edit")
    choose(page, "edit-run", "first")
    page.get_by_text("Between images").click()
    page.fill("#way-seeds textarea, #way-seeds input", "3,eight")
    page.click("#way-draw")
    assert "must be whole numbers" in said(page, "edit-told", "pixelflow:")
    page.fill("#way-seeds textarea, #way-seeds input", "3,8")
    page.click("#way-draw")
    said(page, "edit-told", "9 images")
    said(page, "way-command", "pixelflow interpolate runs/first way.webp")
    page.wait_for_selector("#way-strip img")
    shown = page.locator("#way-animation img").get_attribute("src")
    assert page.request.get(shown).body()[8:16] == b"WEBPVP8X"  # an animation
    page.locator("#way-strip").scroll_into_view_if_needed()
    keep(page, "way")


def test_comparing_shows_both_and_what_differs(page):
    tab(page, "Compare")
    choose(page, "first-run", "first")
    choose(page, "second-run", "second")
    page.wait_for_timeout(500)
    choose(page, "second-weights", "raw")
    page.click("#compare-draw")
    assert not said(page, "compare-told", "root mean square difference").startswith(
        "root mean square difference 0.0000"
    )
    page.wait_for_selector("#compare-difference img")
    keep(page, "compare")


def test_a_training_is_written_watched_stopped_and_continued(page, runs):
    tab(page, "Train")
    page.get_by_text("Names the run folder.").wait_for()
    keep(page, "train")
    choose(page, "train-base", "tiny.yaml")
    page.fill("#train-name textarea, #train-name input", "mine")
    page.fill("#train-more textarea", "training.steps=0")
    page.click("#train-validate")
    assert "training.steps" in said(page, "train-told", "pixelflow:")
    page.fill("#train-more textarea", "training.steps=100000")
    page.click("#train-validate")
    said(page, "train-told", "ok: mine")
    page.click("#train-plan")
    said(page, "train-told", "GMAC  share")
    page.click("#train-start")
    said(page, "train-told", "written:")
    assert (runs / "mine.yaml").is_file()
    page.reload()
    page.wait_for_selector("#sample-draw")
    tab(page, "Watch")
    choose(page, "watch-run", "mine")
    said(page, "watch-told", "training; saved at step")
    assert not said(page, "watch-told", "images/s").startswith("not")
    page.wait_for_selector("#watch-losses img")
    page.click("#watch-stop")
    said(page, "watch-told", "not training; saved")
    page.click("#watch-continue")
    playwright.expect(page.locator("#watch-told textarea")).to_have_value(re.compile("^training; saved"), timeout=WAIT)
    page.click("#watch-stop")
    said(page, "watch-told", "not training; saved")


def test_a_finished_training_is_looked_at(page):
    tab(page, "Watch")
    choose(page, "watch-run", "first")
    said(page, "watch-told", "not training; saved at step")
    keep(page, "watch")


def test_a_sweep_is_shown_and_two_of_its_points_are_compared(page, runs):
    """Without one, it says how to make one; it appears as soon as it is there."""
    tab(page, "Sweeps")
    page.click("#sweeps-show")
    said(page, "sweeps-told", "pixelflow sweep run makes one")
    (runs / "sweep.yaml").write_text(QUICK + "axes: {sampling.steps: [1, 4]}")
    command = [sys.executable, "-m", "pixelflow", "sweep", "run", "sweep.yaml", "--out", str(runs)]
    subprocess.run(command, cwd=runs, check=True, capture_output=True)
    page.reload()
    page.wait_for_selector("#sample-draw")
    tab(page, "Sweeps")
    choose(page, "sweeps-sweep", "runs/quick")
    page.click("#sweeps-show")
    said(page, "sweeps-told", "3 of 3 tasks are done")
    assert "steps 4" in page.locator("#sweeps-points").inner_text()
    page.get_by_text("Two points beside each other").click()
    page.click("#sweeps-compare")
    said(page, "sweeps-told", "steps 1 | steps 4")
    page.wait_for_selector("#sweeps-slider img")
    assert "GMAC per image" in page.locator("#sweeps-figures").inner_text()
    report = page.frame_locator("#sweeps-report iframe")
    assert "points done" in report.locator("body").inner_text()
    keep(page, "sweeps")
