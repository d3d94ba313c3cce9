"""Specs: what is written is read back equal, overrides do what they say, and nothing that is typed crashes."""

from __future__ import annotations

import itertools
import math
import string
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelflow.core import plugins, reading
from pixelflow.core.registry import registry
from pixelflow.core.spec import ExperimentSpec
from pixelflow.system.errors import SpecError
from tests.conftest import TINY, make_spec

plugins.load()

shares = st.floats(0, 1e6)
counts = st.integers(1, 2**31 - 1)
sampler_steps = st.integers(1, 100_000)
below_one = st.floats(0, 1, exclude_max=True)


def slot(kind: str) -> st.SearchStrategy:
    """A registered component that needs no settings, by its name or as a block."""
    free = [
        name
        for name, entry in registry.of_kind(kind).items()
        if not any(field.is_required() for field in entry.cls.Params.model_fields.values())
    ]
    return st.sampled_from(free).flatmap(lambda name: st.sampled_from([name, {"type": name}]))


def lists_of(length: int) -> Callable[[st.SearchStrategy], st.SearchStrategy]:
    """Lists of one length, for whatever elements."""
    return lambda elements: st.lists(elements, min_size=length, max_size=length)


@st.composite
def experiments(draw: st.DrawFn) -> dict:
    """The plain data of a valid spec."""
    stages = draw(st.integers(1, 4))
    a_stage = lists_of(stages)
    patches = draw(st.integers(1, 16) | a_stage(st.integers(1, 4)))
    sizes = [patches] * stages if isinstance(patches, int) else patches
    unit = math.lcm(*(patch << (stages - 1 - stage) for stage, patch in enumerate(sizes)))
    parts = draw(st.integers(1, 8))
    batch = {"batch_size": parts * draw(st.integers(1, 100)), "grad_accumulation": parts}
    training = {
        "steps": counts,
        "learning_rate": st.floats(1e-300, 1e300),
        "betas": st.lists(below_one, min_size=2, max_size=2),
        "max_grad_norm": st.none() | st.floats(1e-6, 1e6),
        "ema": below_one,
        "lr_schedule": st.sampled_from(["constant", "cosine"]),
        "compile": st.booleans(),
        "sample_every": st.none() | counts,
    }
    return {
        "name": draw(st.text(string.ascii_letters + string.digits, min_size=1)),
        "seed": draw(st.integers(0, 2**63 - 1)),
        "image": {"size": [unit * draw(st.integers(1, 8)), unit * draw(st.integers(1, 8))]},
        "data": "digits",
        "cascade": {
            "stages": stages,
            "patch": patches,
            "down": draw(slot("downsampler")),
            "up": draw(slot("upsampler")),
        },
        "conditioners": draw(st.sampled_from([[], ["class_label"], [{"type": "class_label", "classes": 7}]])),
        "objective": {"stage_mix": draw(st.none() | a_stage(shares).filter(any)), "times": draw(slot("times"))},
        "training": draw(st.fixed_dictionaries({}, optional=training)) | batch,
        "sampling": {
            "sampler": draw(slot("sampler")),
            "grid": draw(slot("grid")),
            "guidance": draw(slot("guidance")),
            "steps": draw(sampler_steps | a_stage(sampler_steps)),
        },
    }


@settings(max_examples=60, deadline=None)
@given(experiments())
def test_a_dumped_spec_is_read_back_equal(data):
    if "jump" in str(data["sampling"]["sampler"]):
        data["objective"] = "shortcut"
    spec = ExperimentSpec.model_validate(data)
    text = reading.dump(spec)
    again = reading.validate(ExperimentSpec, reading.parse(text, "dumped.yaml"))
    assert again == spec
    assert reading.dump(again) == text


@pytest.mark.parametrize("name", ["08", "1e3", "null", "true", "0x1F", "1_000", "yes"])
def test_texts_that_look_like_something_else_are_read_back(name):
    spec = make_spec(f"name='{name}'")
    assert reading.validate(ExperimentSpec, reading.parse(reading.dump(spec), "dumped.yaml")) == spec


junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats()
    | st.text(string.printable, max_size=8)
    | st.sampled_from(["digits", "euler", "type", "1e-4", "none"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "steps", "patch", "size", "0", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)
PLACES = [
    "name", "seed", "image", "image.size", "image.channels", "data", "data.type", "cascade", "cascade.patch",
    "cascade.kickoff", "cascade.up", "backbone", "backbone.depth", "conditioners", "objective.stage_mix", "training",
    "training.betas", "training.max_grad_norm", "sampling.steps", "sampling.sampler", "sampling.guidance.shares",
    "evaluation",
]  # fmt: skip


def complaints(call: Callable[[], object]) -> list[str]:
    """The lines of the SpecError that `call` raises; none if it does not."""
    try:
        call()
    except SpecError as error:
        return str(error).splitlines()
    return []


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(PLACES), junk)
def test_any_value_at_any_place_is_valid_or_explained(place, value):
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6).removesuffix("...\n").strip()
    for line in complaints(lambda: make_spec(f"{place}={text}")):
        assert line.startswith(("override '", 'override "', "tiny.yaml:")), line


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40) | st.text("a:-[]{}&*!|>'\"#%@, \t\n1", max_size=40))
def test_any_text_parses_or_is_explained_in_one_line(text):
    lines = complaints(lambda: reading.parse(text, "file.yaml"))
    assert all(line.startswith("file.yaml") for line in lines)
    assert len(lines) < 2


def test_numbers_and_booleans_are_those_of_yaml_1_2():
    data = reading.parse("[1e-4, 1., .5, -3, 010, no, on, y, 1:30, 0o7, true, False, null, ~]", "x").data
    assert data == [1e-4, 1.0, 0.5, -3, 10, "no", "on", "y", "1:30", "0o7", True, False, None, None]
    assert [type(value) for value in data[:5]] == [float, float, float, int, int]


def test_a_new_type_replaces_the_block():
    text = TINY.replace("steps: 3, guidance: {type: constant, scale: 1.5}", "sampler: {type: dopri5, rtol: 0.5}")
    assert make_spec("sampling.sampler.type=euler", text=text).sampling.sampler.model_dump() == {"type": "euler"}
    assert make_spec("sampling.sampler.atol=0.25", text=text).sampling.sampler.model_dump() == {
        "type": "dopri5",
        "rtol": 0.5,
        "atol": 0.25,
    }


def test_the_same_type_keeps_the_block():
    assert make_spec("backbone.type=dit").backbone == make_spec().backbone


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_a_type_by_override_equals_a_type_in_the_file(data):
    kind, place = data.draw(st.sampled_from([("sampler", "sampling.sampler"), ("grid", "sampling.grid")]))
    before, after = (data.draw(slot(kind)) for _ in range(2))
    name = after if isinstance(after, str) else after["type"]
    start = "{type: official, shift: 3}" if kind == "grid" else "{type: dopri5, rtol: 0.5}"
    first = data.draw(
        st.sampled_from([start, yaml.safe_dump(before, default_flow_style=True).removesuffix("...\n").strip()])
    )
    if f"type: {name}" in first:
        return
    assert make_spec("objective=shortcut", f"{place}={first}", f"{place}.type={name}") == make_spec(
        "objective=shortcut", f"{place}={name}"
    )


REPLACED = ["backbone.depth=1", "backbone.heads=1", "backbone.type=hourglass"]


@pytest.mark.parametrize("order", list(itertools.permutations(REPLACED)))
def test_a_type_comes_first_whatever_the_order(order):
    backbone = make_spec("cascade.patch=4", *order).backbone
    assert (backbone.type, backbone.depth, backbone.heads) == ("hourglass", 1, 1)


@pytest.mark.parametrize("block", ["sampling.sampler=dopri5", "sampling.sampler={type: dopri5, atol: 0.5}"])
def test_a_whole_block_comes_before_what_lies_in_it(block):
    assert make_spec("sampling.sampler.rtol=0.25", block).sampling.sampler.rtol == 0.25


def test_of_one_key_the_last_value_counts():
    assert make_spec("seed=1", "seed=2").seed == 2


@pytest.mark.parametrize("root", ["a #1", "#1", "50% #", "a#b"])
def test_nothing_on_a_command_line_is_a_comment(root):
    for overrides in (
        ["data.type=image_folder", f"data.root={root}"],
        [f"data={{type: image_folder, root: '{root}'}}"],
    ):
        assert str(make_spec(*overrides).data.root) == root


@pytest.mark.parametrize("value", ["---", "...", "--- x"])
def test_marks_of_documents_are_text_in_a_value(value):
    assert str(make_spec("data.type=image_folder", f"data.root={value}").data.root) == value


def test_a_path_begins_at_home(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    assert make_spec("data={type: image_folder, root: ~/cats}").data.root == Path("/home/somebody/cats")
    assert make_spec("evaluation.reference=~/cats").evaluation.reference == Path("/home/somebody/cats")
    assert make_spec("training.init_from=~/runs/a").training.init_from.run == Path("/home/somebody/runs/a")


def test_a_home_that_there_is_not_is_explained():
    (line,) = complaints(lambda: make_spec("evaluation.reference=~nobody_of_this_name/cats"))
    assert line == (
        "override 'evaluation.reference=~nobody_of_this_name/cats' evaluation.reference: "
        "~nobody_of_this_name/cats: ~nobody_of_this_name stands for a home folder, and there is none of this name"
    )


def test_an_override_reaches_into_a_component_given_by_name():
    assert make_spec("data.split=odd").data.model_dump() == {"type": "digits", "split": "odd"}


def test_overrides_leave_the_document_alone():
    document = reading.parse(TINY, "tiny.yaml")
    reading.override(document, ["seed=9", "image.size=32", "conditioners.0.classes=3"])
    assert reading.validate(ExperimentSpec, document) == make_spec()


def test_overrides_fill_an_empty_file():
    document = reading.override(reading.parse("", "e.yaml"), ["name=x", "data=digits", "cascade.stages=1"])
    assert reading.validate(ExperimentSpec, document).stages == 1


@pytest.mark.parametrize("size", ["16", "[16, 16]"])
def test_one_number_is_a_square(size):
    assert make_spec(f"image.size={size}").image.size == (16, 16)


@pytest.mark.parametrize(("kickoff", "stages"), [(8, 1), (4, 2), (1, 4)])
def test_a_kickoff_gives_the_stages(kickoff, stages):
    assert make_spec(f"cascade={{kickoff: {kickoff}, patch: 2}}").stages == stages
