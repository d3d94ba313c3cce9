"""A sweep's report: one HTML page that needs nothing else, Markdown with its pictures, and CSV with every figure."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from string import Template

from PIL import Image

from pixelflow.core.version import __version__
from pixelflow.sweep.points.plan import Plan
from pixelflow.sweep.report import charts, samples
from pixelflow.sweep.report.results import Column, Results, Row, Value, read_results
from pixelflow.system.files import write_bytes, write_text, writing
from pixelflow.system.printing import printable

Plots = Mapping[str, Mapping[str, str]]
"""Title of a group -> name of a plot -> SVG."""

Strips = Mapping[int, Image.Image]
"""Number of a row -> its samples."""

_PICTURES = "report"
_SAME = "In every row the same seeds and labels."
_MOST_NAMES = 12
"""More would make no sentence."""


def write_report(plan: Plan, folder: Path) -> Path:
    """Write report.html, report.md with the pictures in report/, and report.csv; returns the page.

    Raises:
        DataError: a result is damaged.
        CannotWriteError: the system refuses.
    """
    results = read_results(plan, folder)
    plots = {
        "Course of the search": charts.course(results),
        "Plots": charts.over_axes(results),
        "Quality against cost": charts.cost_against_quality(results),
    }
    drawn = {row.number: samples.strip(row.images) for row in results.rows if row.results}
    strips = {number: picture for number, picture in drawn.items() if picture is not None}
    pictures = folder / _PICTURES
    with writing(pictures):
        pictures.mkdir(exist_ok=True)
        for old in (*pictures.glob("*.svg"), *pictures.glob("*.png")):
            old.unlink()
    for group in plots.values():
        for name, plot in group.items():
            write_text(pictures / f"{_file_name(name)}.svg", plot)
    if strips:
        sheet = samples.sheet([(f"#{number}", picture) for number, picture in strips.items()])
        write_bytes(pictures / "samples.png", samples.png(sheet))
    write_text(folder / "report.csv", as_csv(results))
    write_text(folder / "report.md", as_markdown(results, plots, bool(strips)))
    page = folder / "report.html"
    write_text(page, as_html(results, plots, strips))
    return page


def as_csv(results: Results) -> str:
    """Every column in full precision, a line a point; intervals as two columns beside their figure's."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["point", *(head for column in results.columns for head in _heads(column)), "failure"])
    for index, row in enumerate(results.rows):
        values = [value for column in results.columns for value in _plain_values(column, index)]
        table.writerow([row.number, *("" if value is None else value for value in values), row.failure or ""])
    return text.getvalue()


def _heads(column: Column) -> list[str]:
    ends = [f"{column.title}: low", f"{column.title}: high"] if column.has_intervals else []
    return [column.title, *ends]


def _plain_values(column: Column, row: int) -> list[Value]:
    ends = column.interval(row) or (None, None)
    return [column.values[row], *(ends if column.has_intervals else ())]


def as_markdown(results: Results, plots: Plots, has_samples: bool) -> str:
    """The table, and the pictures that `write_report` puts into report/."""
    columns = _compared(results)
    head = ["#", *(_md(column.title) + _arrow(column) for column in columns)]
    lines = [f"# {_md(results.name)}", "", _md(_summary(results)), "", _line(head), _line(["---:"] * len(head))]
    for index, row in enumerate(results.rows):
        cells = [_bold(_md(column.text(index)), column.is_best(index)) + _beside(column, index) for column in columns]
        lines.append(_line([str(row.number), *cells]))
    lines += ["", *(f"- {_md(note)}" for note in _notes(results))]
    lines += [f"- #{row.number} failed: {_md(row.failure)}" for row in results.rows if row.failure]
    for title, group in plots.items():
        lines += ["", f"## {title}", ""] * bool(group)
        lines += [f"![{_md(name)}]({_PICTURES}/{_file_name(name)}.svg)" for name in group]
    if has_samples:
        lines += ["", "## Samples", "", _SAME, "", f"![samples]({_PICTURES}/samples.png)"]
    return "\n".join(lines) + "\n"


def as_html(results: Results, plots: Plots, strips: Strips) -> str:
    """The page, with plots and pictures inside."""
    template = Template(resources.files("pixelflow.sweep.report").joinpath("page.html").read_text("utf-8"))
    return template.substitute(
        title=_html(results.name),
        summary=_html(_summary(results)),
        failures="".join(f"<p>#{row.number} failed: {_html(row.failure)}</p>" for row in results.rows if row.failure),
        table=_table(results),
        notes="".join(f'<p class="quiet">{_html(note)}</p>' for note in _notes(results)),
        plots="".join(_gallery(title, group) for title, group in plots.items() if group),
        samples=_samples(results, strips) if strips else "",
    )


def _compared(results: Results) -> list[Column]:
    """Columns of the table: all axes, and of the rest what is not the same everywhere."""
    return [column for column in results.columns if column in results.axes or _differs(column)]


def _differs(column: Column) -> bool:
    return bool(column.known) and not column.is_constant


def _summary(results: Results) -> str:
    done = sum(bool(row.results) and not row.failure for row in results.rows)
    weights = results.run or f"{results.trainings} training{'s' * (results.trainings != 1)}"
    return f"{done} of {len(results.rows)} points done, from {weights}. {_search(results)}pixelflow {__version__}."


def _search(results: Results) -> str:
    """How a search was made, and what it found to be best."""
    search, figure = results.search, results.objective
    if search is None:
        return ""
    aim = f"to {search.objective.direction} {search.objective.title}"
    told = f"A search of {search.trials} trials by {search.sampler}, {aim}"
    if figure is None:
        return f"{told}. "
    best = next(row for row in figure.known if figure.is_best(row))
    return f"{told}; the best is #{best + 1}, {results.label(best)}: {figure.text(best)}{_beside(figure, best)}. "


def _notes(results: Results) -> list[str]:
    same = [column for column in results.columns if column not in results.axes and column.is_constant]
    told = [f"{column.title} {column.text(column.known[0])}" for column in same]
    notes = [*_best_of_each(results), *([f"The same for all: {', '.join(told)}."] if told else [])]
    images = sorted({row.cell.spec.evaluation.images for row in results.rows})
    notes.append(f"Measured on {' or '.join(f'{count:,}' for count in images)} images a point, from equal seeds.")
    if any(column.has_intervals for column in results.figures):
        notes.append("Intervals hold 95 % of what other images of the same kind would give.")
    if results.refused:
        count, why = len(results.refused), next(iter(results.refused.values()))
        notes.append(f"{count} more of the trials had settings that do not go together, such as: {why}")
    if any(row.is_estimate for row in results.rows):
        notes.append("GMAC of samplers that choose their own steps are estimates.")
    notes.append("Seconds are the median over batches, on a machine that may have done other things too.")
    return notes


def _best_of_each(results: Results) -> list[str]:
    """What the best point of every name on an axis is, where a name has several: so each is compared at its best."""
    notes = []
    for axis in results.axes:
        names = list(dict.fromkeys(axis.text(row) for row in axis.known))
        if axis.is_numeric or not 2 <= len(names) < len(axis.known) or len(names) > _MOST_NAMES:
            continue
        for figure in results.main_figures:
            best = [figure.best_of(row for row in figure.known if axis.text(row) == name) for name in names]
            told = [f"{axis.text(row)} {figure.text(row)} (#{row + 1})" for row in best if row is not None]
            notes.append(f"The best {figure.title} of each {axis.title}: {', '.join(told)}.")
    return notes


def _table(results: Results) -> str:
    columns = _compared(results)
    heads = "".join(f"<th{_kind(column)}>{_html(column.title)}{_direction(column)}</th>" for column in columns)
    rows = "".join(_html_row(index, row, columns) for index, row in enumerate(results.rows))
    return f'<table class="sortable"><thead><tr><th>#</th>{heads}</tr></thead><tbody>{rows}</tbody></table>'


def _html_row(index: int, row: Row, columns: Sequence[Column]) -> str:
    cells = "".join(_cell(column, index) for column in columns)
    style = ' class="failed"' if row.failure else ""
    return f'<tr{style}><td data-value="{row.number}">{row.number}</td>{cells}</tr>'


def _cell(column: Column, index: int) -> str:
    value = column.values[index]
    classes = " ".join(["text"] * (not column.is_numeric) + ["best"] * column.is_best(index))
    style = f' class="{classes}"' if classes else ""
    shown = _html(column.text(index)) + (
        f"<small>{_html(column.spread(index))}</small>" if column.interval(index) else ""
    )
    return f'<td{style} data-value="{_html("" if value is None else str(value))}">{shown}</td>'


def _kind(column: Column) -> str:
    return "" if column.is_numeric else ' class="text"'


def _direction(column: Column) -> str:
    words = {1: "higher is better", -1: "lower is better"}
    return f"<small>{words[column.better]}</small>" if column.better else ""


def _gallery(title: str, plots: Mapping[str, str]) -> str:
    drawn = "".join(f"<figure>{plot}</figure>" for plot in plots.values())
    return f'<h2>{title}</h2><div class="plots">{drawn}</div>'


def _file_name(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _samples(results: Results, strips: Strips) -> str:
    rows = "".join(
        f"<tr><td>#{number}</td><td>{_image(strip)}</td><td>{_html(results.label(number - 1))}</td></tr>"
        for number, strip in strips.items()
    )
    return f'<h2>Samples</h2><p class="quiet">{_SAME}</p><div class="wide"><table class="samples">{rows}</table></div>'


def _image(picture: Image.Image) -> str:
    times = samples.factor(picture)
    size = f'width="{picture.width * times}" height="{picture.height * times}"'
    return f'<img {size} alt="samples" src="{samples.data_uri(picture)}">'


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _md(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return re.sub(r"[\\`*_\[\]<>&|~]", r"\\\g<0>", printable(text))


def _html(text: str) -> str:
    """Text that HTML shows as it is, on one line."""
    return escape(printable(text))


def _bold(text: str, is_best: bool) -> str:
    return f"**{text}**" if is_best else text


def _beside(column: Column, row: int) -> str:
    return f" ({column.spread(row)})" if column.interval(row) else ""


def _arrow(column: Column) -> str:
    return {1: " ↑", -1: " ↓"}.get(column.better, "")
