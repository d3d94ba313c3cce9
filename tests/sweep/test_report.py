"""The report: one page that needs nothing else, and the same figures as Markdown and CSV."""

from __future__ import annotations

import csv
import json
import re
import shutil
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pytest

from pixelflow.sweep.points.plan import Plan
from pixelflow.sweep.points.points import read_sweep
from pixelflow.sweep.report.report import write_report
from pixelflow.sweep.report.results import Column, read_results
from pixelflow.sweep.work.tasks import tasks_of
from pixelflow.sweep.work.worker import work
from pixelflow.system.files import write_text
from tests.conftest import TINY
from tests.sweep.conftest import QUICK

MIXED = """
points:
  - {sampling.steps: 1, sampling.sampler: euler}
  - {sampling.steps: 2, sampling.sampler: euler}
  - {sampling.steps: 2, sampling.sampler: {type: heun}}
  - {sampling.steps: 3, sampling.guidance.type: autoguidance}
"""


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """The folder with a finished sweep, of which one cell failed."""
    place = tmp_path_factory.mktemp("once")
    (place / "tiny.yaml").write_text(TINY)
    (place / "sweep.yaml").write_text(QUICK + MIXED)
    plan, folder = Plan.of(*read_sweep(place / "sweep.yaml")), place / "sweeps" / "quick"
    plan.write(folder)
    work(folder, "cpu")
    write_report(plan, folder)
    return place


@pytest.fixture
def reported(once, tmp_path):
    """A finished sweep with a failed cell: its plan and folder."""
    shutil.copytree(once, tmp_path, dirs_exist_ok=True)
    folder = tmp_path / "sweeps" / "quick"
    return Plan.read(folder), folder


class Page(HTMLParser):
    """What a page refers to, and whether its tags are balanced."""

    VOID = frozenset({"meta", "img", "br", "path", "rect", "circle", "polyline"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.references: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.references += [value for name, value in attributes if name in ("src", "href", "xlink:href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_the_page_needs_nothing_else(reported):
    _, folder = reported
    text = (folder / "report.html").read_text()
    page = Page(text)
    assert not page.open
    assert len(page.references) == 3
    assert all(reference.startswith("data:image/png;base64,") for reference in page.references)
    assert not re.search(r"url\((?!#)|@import|https?://(?!www\.w3\.org/)", text)
    assert text.count("<svg") == len(list((folder / "report").glob("*.svg")))


def test_every_figure_is_in_the_csv(reported):
    plan, folder = reported
    with (folder / "report.csv").open() as file:
        rows = list(csv.DictReader(file))
    cells = {task.folder.name: task for task in tasks_of(plan, folder) if task.needs}
    assert len(rows) == 4
    for row, point in zip(rows[:3], plan.points, strict=False):
        result = cells[point.cell].result
        for one in result["results"]:
            for name, value in one["values"].items():
                assert float(row[f"{one['metric']}: {name.replace('_', ' ')}"]) == value
        assert float(row["GMAC per image"]) == plan.cells[point.cell].cost.sample_macs / 1e9
        assert float(row["seconds per image"]) == result["seconds_per_image"]
    assert [row["sampler"] for row in rows] == ["euler", "euler", "heun", "euler"]
    assert [row["steps"] for row in rows] == ["1", "2", "2", "3"]
    assert rows[3]["failure"].startswith("this guidance needs")
    assert not rows[3]["seconds per image"]


def test_the_best_is_marked_in_both(reported):
    plan, folder = reported
    results = read_results(plan, folder)
    (distance,) = (figure for figure in results.figures if figure.title.endswith(": distance"))
    best = min(range(3), key=lambda row: distance.values[row])
    markdown = (folder / "report.md").read_text().splitlines()
    (line,) = (line for line in markdown if line.startswith(f"| {best + 1} |"))
    assert f"**{distance.text(best)}**" in line
    page = (folder / "report.html").read_text()
    assert f'<td class="best" data-value="{distance.values[best]}">{distance.text(best)}</td>' in page


def test_pictures_of_the_markdown_are_there(reported):
    _, folder = reported
    targets = re.findall(r"!\[.*?\]\((.*?)\)", (folder / "report.md").read_text())
    assert targets
    assert {target.split("/")[1] for target in targets} == {file.name for file in (folder / "report").iterdir()}
    for target in targets:
        if target.endswith(".svg"):
            assert ET.parse(folder / target).getroot().tag.endswith("svg")


def test_a_sweep_of_which_nothing_is_done_has_a_report(plan_of, tmp_path):
    plan, folder = plan_of(), tmp_path / "sweeps" / "quick"
    plan.write(folder)
    assert "0 of 4 points done" in write_report(plan, folder).read_text()


def test_names_are_no_markup(plan_of, tmp_path):
    text = 'axes: {data: [{type: image_folder, root: "<b>&|x"}], conditioners: [[]]}'
    plan, folder = plan_of(text), tmp_path / "sweeps" / "quick"
    plan.write(folder)
    page = write_report(plan, folder).read_text()
    assert "<b>" not in page
    assert "&lt;b&gt;&amp;|x" in page
    assert r"\<b\>\&\|x" in (folder / "report.md").read_text()


def test_a_metric_that_fails_does_not_hide_the_others(plan_of, tmp_path):
    """And the point is not done: the same command tries it again."""
    too_many = "[{type: frechet, extractor: {type: pixels_pca, components: 100}}, label_agreement]"
    text = f"points: [{{sampling.steps: 1}}, {{evaluation.metrics: {too_many}}}]"
    plan, folder = plan_of(text), tmp_path / "sweeps" / "quick"
    plan.write(folder)
    work(folder, "cpu")
    assert "1 of 2 points done" in write_report(plan, folder).read_text()
    with (folder / "report.csv").open() as file:
        row = list(csv.DictReader(file))[1]
    assert row["failure"].startswith("frechet")
    assert float(row["label_agreement: agreement"]) >= 0
    assert not row["frechet, pixels_pca: distance"]
    (cell,) = (task for task in tasks_of(plan, folder) if task.failure)
    cell.forget_failure()
    assert cell.measured.results == []


def test_a_search_shows_its_course_and_its_best(plan_of, tmp_path):
    from pixelflow.sweep.work.study import settle

    text = """
search: {metric: frechet, trials: 3, parameters: {sampling.steps: {low: 1, high: 9}, sampling.sampler: [euler, heun]}}
"""
    folder = tmp_path / "sweeps" / "quick"
    settle(plan_of(text), folder)
    assert (
        "a search of 3 trials by tpe, to minimize frechet. "
        in write_report(Plan.read(folder), folder).read_text().lower()
    )
    work(folder, "cpu")
    plan = settle(Plan.read(folder), folder)
    page = write_report(plan, folder).read_text()
    results = read_results(plan, folder)
    best = min(range(3), key=lambda row: results.objective.values[row])
    assert f"the best is #{best + 1}, {results.label(best)}: {results.objective.text(best)}" in page
    assert "Course of the search" in page
    assert (folder / "report" / "frechet-pixels-pca-distance-over-trials.svg").is_file()


def test_intervals_are_shown_beside_their_figures(plan_of, tmp_path):
    plan, folder = plan_of("axes: {sampling.steps: [1, 2]}\nskip: []"), tmp_path / "sweeps" / "quick"
    plan.write(folder)
    for place, task in enumerate(task for task in tasks_of(plan, folder) if task.needs):
        task.folder.mkdir(parents=True)
        figures = {"values": {"distance": 3.0 + place}, "intervals": {"distance": [2.5 + place, 3.25 + place]}}
        result = {"metric": "frechet", "settings": {"type": "frechet"}, "higher_is_better": False, **figures}
        write_text(task.folder / "result.json", json.dumps({"seconds_per_image": 1.0, "results": [result]}))
    page = write_report(plan, folder).read_text()
    assert '<td class="best" data-value="3.0">3<small>2.5 to 3.25</small></td>' in page
    assert "**3** (2.5 to 3.25) | " in (folder / "report.md").read_text()
    with (folder / "report.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["distance: low"], row["distance: high"]) for row in rows] == [("2.5", "3.25"), ("3.5", "4.25")]


def finish(plan, folder, *distances: float, **spent: float) -> None:
    """Mark every cell as done, with these distances."""
    plan.write(folder)
    for task, distance in zip((task for task in tasks_of(plan, folder) if task.needs), distances, strict=True):
        task.folder.mkdir(parents=True)
        figures = {"metric": "frechet", "settings": {"type": "frechet"}, "values": {"distance": distance}}
        result = {"seconds_per_image": 1.0, "results": [{**figures, "higher_is_better": False}], **spent}
        write_text(task.folder / "result.json", json.dumps(result))


def test_each_name_is_compared_at_its_best(plan_of, tmp_path):
    text = "axes: {sampling.guidance.type: [constant, stagewise], sampling.guidance.scale: [1.5, 2.0]}"
    plan, folder = plan_of(text), tmp_path / "sweeps" / "quick"
    finish(plan, folder, 3.0, 2.5, 4.0, 1.25)
    told = "The best distance of each guidance: constant 2.5 (#2), stagewise 1.25 (#4)."
    assert told in write_report(plan, folder).read_text()
    assert told in (folder / "report.md").read_text()


def test_arithmetic_is_that_of_the_evaluations_that_were_made(plan_of, tmp_path):
    plan, folder = plan_of("axes: {sampling.sampler: [dopri5]}"), tmp_path / "sweeps" / "quick"
    finish(plan, folder, 3.0)
    write_report(plan, folder)
    assert "are estimates" in (folder / "report.md").read_text()
    shutil.rmtree(folder.parent)
    finish(plan, folder, 3.0, macs_per_image=5e9)
    write_report(plan, folder)
    assert "are estimates" not in (folder / "report.md").read_text()
    with (folder / "report.csv").open() as file:
        assert [row["GMAC per image"] for row in csv.DictReader(file)] == ["5.0"]


@pytest.mark.parametrize(
    ("better", "best"), [(1, [False, True, False, True]), (-1, [True, False, False, False]), (0, [False] * 4)]
)
def test_which_is_best(better, best):
    column = Column("x", (1.0, 3.0, None, 3.0), better)
    assert [column.is_best(row) for row in range(4)] == best


def test_what_is_constant_ignores_what_is_missing():
    assert Column("x", (2.0, None, 2.0)).is_constant
    assert not any(Column("x", values).is_constant for values in ((2.0, 3.0), (2.0, None), (None, None)))


def test_numbers_are_short_in_tables():
    column = Column("x", (0.123456, 123456.7, 7, None, "euler"))
    assert [column.text(row) for row in range(5)] == ["0.1235", "123,457", "7", "", "euler"]
