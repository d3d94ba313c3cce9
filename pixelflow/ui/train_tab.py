"""A spec as a form: every setting with what it means; checked, costed, written, and trained by the ordinary command."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pixelflow.core import reading, shipped
from pixelflow.core.component import Component
from pixelflow.core.registry import registry
from pixelflow.core.spec import ExperimentSpec
from pixelflow.core.spec_files import read_spec, summary_of
from pixelflow.system.errors import UsageError
from pixelflow.system.files import check_free, write_text
from pixelflow.ui.fields import Blocks, Tab, told_field
from pixelflow.ui.shelf import Shelf
from pixelflow.ui.telling import told

Row = list[str]
"""Key, value as YAML has it, and what it is."""


def build(blocks: Blocks, tab: Tab, shelf: Shelf) -> None:
    """The tab's fields and what they do."""
    import gradio as gr

    trainings = shelf.trainings
    with gr.Row():
        base = gr.Dropdown(_specs(shelf), value="digits", label="Start from", elem_id="train-base")
        name = gr.Textbox("", label="Name of the run", placeholder="the spec's", elem_id="train-name")
    form = gr.Dataframe(
        headers=["setting", "value", "what it is"],
        label="Settings; change values",
        elem_id="train-form",
        type="array",
        static_columns=[0, 2],
        column_widths=["25%", "25%", "50%"],
        column_count=3,
        wrap=True,
        max_height=420,
        show_search="filter",
        interactive=True,
    )
    more = gr.Textbox(label="Further changes, one KEY=VALUE a line", lines=2, elem_id="train-more")
    with gr.Row():
        check = gr.Button("Validate", elem_id="train-validate")
        cost = gr.Button("Plan", elem_id="train-plan")
        start = gr.Button("Write and train", variant="primary", elem_id="train-start")
    told_line = told_field("train", lines=4, most=28)

    @told(2)
    def filled(chosen: str) -> tuple[object, str]:
        return rows_of(read_spec(_path(shelf, chosen))), ""

    @told(1)
    def checked(chosen: str, run: str, rows: list[Row], extra: str) -> str:
        return summary_of(spec_of(_path(shelf, chosen), rows, extra, run))

    @told(1)
    def planned(chosen: str, run: str, rows: list[Row], extra: str) -> str:
        return cost_of(spec_of(_path(shelf, chosen), rows, extra, run))

    @told(1)
    def started(chosen: str, run: str, rows: list[Row], extra: str) -> str:
        spec = spec_of(_path(shelf, chosen), rows, extra, run)
        if (shelf.folder / spec.name).exists():
            raise UsageError(f"{spec.name}: there is such a run already; give another name, or continue it on Watch")
        file = shelf.folder / f"{spec.name}.yaml"
        check_free(file, "the spec")
        shelf.folder.mkdir(parents=True, exist_ok=True)
        write_text(file, reading.dump(spec))
        return f"{trainings.start(file, spec.name)}\nwritten: {file}; see Watch"

    given = [base, name, form, more]
    base.change(filled, base, [form, told_line])
    blocks.load(filled, base, [form, told_line])
    check.click(checked, given, told_line)
    cost.click(planned, given, told_line)
    start.click(started, given, told_line)


def rows_of(spec: ExperimentSpec) -> list[Row]:
    """Every setting of a spec that is a single value or a list of values, with its description from the schema."""
    document = spec.model_dump(mode="json")
    return [[key, _written(value), what] for key, value, what in _leaves(document, spec, "")]


def spec_of(base: Path, rows: Sequence[Row], extra: str, name: str = "") -> ExperimentSpec:
    """The spec of the form: the base, with the values that were changed, and further changes.

    Raises:
        SpecError: a line for every value that does not fit.
    """
    before = {key: value for key, value, _ in rows_of(read_spec(base))}
    changes = [f"{key}={value}" for key, value, *_ in rows if key in before and value != before[key]]
    changes += [line.strip() for line in (extra or "").splitlines() if line.strip()]
    return read_spec(base, changes, name.strip() or None)


def cost_of(spec: ExperimentSpec) -> str:
    """What ``pixelflow plan`` says."""
    from pixelflow.costs.planning import costs
    from pixelflow.costs.report import told

    return "\n\n".join(told(costs(spec)))


def _leaves(value: Mapping[str, object], model: object, place: str) -> Iterator[tuple[str, object, str]]:
    """(key, value, description) below a block; lists of blocks are left to further changes."""
    fields = type(model).model_fields if isinstance(model, BaseModel) else {}
    for key, below in value.items():
        inner = getattr(model, key, None)
        where = f"{place}.{key}" if place else key
        if isinstance(below, Mapping):
            yield from _leaves(below, inner, where)
        elif not (isinstance(below, list) and any(isinstance(each, Mapping) for each in below)):
            field = fields.get(key)
            yield where, below, _meaning(key, model, field)


def _meaning(key: str, model: object, field: FieldInfo | None) -> str:
    """Of a setting; of a component's type, what it may be, those of plugins too."""
    if key == "type" and isinstance(model, Component.Params):
        return f"one of {', '.join(registry.of_kind(model.component.kind))}"
    return " ".join((field.description or "").split()).replace("``", "") if field is not None else ""


def _written(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _specs(shelf: Shelf) -> list[str]:
    """The shipped experiments, and the spec files in the folder of runs."""
    names = [name for name, path in shipped.specs().items() if path.parent.name != "sweeps"]
    return [*names, *(path.name for path in sorted(shelf.folder.glob("*.yaml")))]


def _path(shelf: Shelf, chosen: str) -> Path:
    return shelf.folder / chosen if chosen.endswith(".yaml") else Path(chosen)
