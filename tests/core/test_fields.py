"""What a condition field is: how samples hold it, how people give it, how records keep it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from pixelflow.core import fields
from pixelflow.core.fields import Classes, ConditionField, field_of
from pixelflow.core.interfaces import Sample
from pixelflow.system.errors import DataError, UsageError

IMAGE = torch.zeros(1, 2, 2)
KNOWN = Classes(("cat", "dog"), 2)


def test_columns_are_of_the_fields_that_all_samples_have():
    mask = torch.ones(2)
    samples = [
        Sample(IMAGE, label=1, caption="a dog", fields={"mask": mask}),
        Sample(IMAGE, label=0, fields={"mask": mask, "pose": mask}),
    ]
    found = fields.columns(samples)
    assert found.keys() == {"label", "mask"}
    assert found["label"] == [1, 0]
    assert all(one is mask for one in found["mask"])


@pytest.mark.parametrize("value", [torch.randn(3, 4, 5), torch.tensor(0.1), torch.zeros(0, 2)])
def test_arrays_come_out_of_records_as_they_went_in(value):
    own = field_of("mask")
    kept = json.loads(json.dumps(own.kept(value)))
    assert torch.equal(own.restored(kept), value)
    assert own.restored(kept).shape == value.shape


@pytest.mark.parametrize(
    "change",
    [{"shape": [3]}, {"shape": [-1, -4]}, {"float32": "x"}, {"float32": "aGVsbG8="}, {"shape": None}, {"shape": "12"}],
)
def test_damaged_arrays_in_records_are_refused(change):
    kept = field_of("mask").kept(torch.zeros(4))
    with pytest.raises(DataError, match="an array in the record is damaged"):
        field_of("mask").restored({**kept, **change})


@pytest.mark.parametrize("given", [np.zeros((2, 3)), torch.zeros(2, 3), [np.zeros(3), torch.zeros(3)], [[0, 0, 0]] * 2])
def test_python_gives_arrays_one_an_image(given):
    found = field_of("pose").values(given, KNOWN)
    assert [tuple(one.shape) for one in found] == [(3,), (3,)]
    assert all(one.dtype == torch.float32 for one in found)


def test_a_file_of_a_field_may_lie_at_home(tmp_path, monkeypatch):
    """A shell leaves ``~`` alone in ``--field pose=~/x.npy``."""
    monkeypatch.setenv("HOME", str(tmp_path))
    np.save(tmp_path / "x.npy", np.ones(3))
    assert fields.read_fields(["pose=~/x.npy"])["pose"][0].tolist() == [1, 1, 1]
    with pytest.raises(UsageError, match="~nobody_of_this_name stands for a home folder"):
        fields.read_fields(["pose=~nobody_of_this_name/x.npy"])


def test_labels_and_captions_are_fields_as_others():
    label, caption = field_of("label"), field_of("caption")
    assert label.values(["dog", 0], KNOWN) == [1, 0]
    assert label.unasked(KNOWN) == [0, 1]
    assert caption.values("a dog", KNOWN) == ["a dog"]
    with pytest.raises(UsageError, match="this run draws from captions; give --prompt"):
        caption.unasked(KNOWN)
    with pytest.raises(UsageError, match="this run draws from 'pose'; give --field pose=FILE"):
        field_of("pose").unasked(KNOWN)
    assert fields.titles({"label": [1], "pose": [IMAGE]}, KNOWN.names) == ["dog"]
    assert fields.titles({"label": [1], "caption": ["a b"]}, KNOWN.names) == ["a b"]
    assert fields.titles({"pose": [IMAGE]}, KNOWN.names) is None


class Angle(ConditionField):
    """A number, given as such."""

    def read(self, text):
        return float(text)

    def kept(self, value):
        return value

    restored = kept

    def title(self, value, classes):
        return f"{value:g} degrees"


@pytest.fixture
def angle(monkeypatch):
    monkeypatch.setattr(fields, "_KNOWN", dict(fields._KNOWN))
    fields.add(Angle("angle"))


def test_a_plugin_says_how_its_own_field_is_written_and_shown(angle):
    assert fields.read_fields(["angle=30", "angle=60"]) == {"angle": [30.0, 60.0]}
    assert fields.titles({"angle": [30.0]}, ()) == ["30 degrees"]
    assert field_of("angle").kept(30.0) == 30.0
    fields.add(Angle("angle"))  # a cell that runs again
    with pytest.raises(ValueError, match="the field 'angle' is known already, as Angle"):
        fields.add(ConditionField("angle"))


@pytest.mark.parametrize("text", ["pose", "=x", "pose=", ""])
def test_what_is_no_assignment_is_refused(text):
    with pytest.raises(UsageError, match="must be NAME=VALUE"):
        fields.read_fields([text])


@pytest.mark.parametrize("given", [3, None, 2.5])
def test_captions_that_are_no_texts_are_refused(given):
    with pytest.raises(UsageError, match="captions must be a text or a list of texts, not"):
        field_of("caption").values(given, KNOWN)


@pytest.mark.parametrize("label", [np.int64(1), np.uint8(1), torch.tensor(1), 1])
def test_a_label_of_any_whole_type_has_its_classs_name(label):
    assert field_of("label").title(label, KNOWN.names) == "dog"
    assert fields.labels_in({"label": [label]}) == [1]
    assert type(fields.labels_in({"label": [label]})[0]) is int


@pytest.mark.parametrize("label", [1.0, torch.tensor(1.0), None, "dog"])
def test_what_is_no_whole_number_is_no_label(label):
    with pytest.raises(UsageError, match="labels must be whole numbers"):
        fields.labels_in({"label": [label]})


def test_labels_and_captions_are_found_among_values_or_are_none():
    assert fields.labels_in({"caption": ["a"]}) is None
    assert fields.captions_in({"label": [1]}) is None
    assert fields.captions_in({"caption": ["a", ""]}) == ["a", ""]
