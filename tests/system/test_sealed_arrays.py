"""Arrays that are kept are what was written, of the format that is known, or are refused in one line."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save

from pixelflow.system import sealed_arrays
from pixelflow.system.errors import DataError
from pixelflow.system.records import LaterFormatError

ARRAYS = {"mean": np.arange(3.0), "names": np.array(["a", "naïve"]), "count": np.array(7), "empty": np.empty((0, 4))}
TENSORS = {"weight": torch.arange(6.0).view(2, 3), "bias": torch.zeros(1, dtype=torch.bfloat16)}
METADATA = {"step": "3", "title": "naïve"}


def sealed() -> bytes:
    return sealed_arrays.seal_safetensors(save(TENSORS, METADATA))


def test_an_npz_is_read_as_it_was_written_whole_or_in_part(tmp_path):
    file = tmp_path / "a.npz"
    file.write_bytes(sealed_arrays.npz_bytes(ARRAYS))
    found = sealed_arrays.read_npz(file)
    assert found.keys() == ARRAYS.keys()
    assert all(np.array_equal(found[name], ARRAYS[name]) for name in ARRAYS)
    assert sealed_arrays.read_npz(file, ["count"]).keys() == {"count"}
    with pytest.raises(DataError, match="bytes, more than such a file may have"):
        sealed_arrays.read_npz(file, largest=16)


def test_an_npz_of_a_later_format_or_without_its_hash_is_refused(tmp_path):
    file = tmp_path / "a.npz"
    file.write_bytes(sealed_arrays.npz_bytes(ARRAYS))
    with np.load(file) as kept:
        content = {name: kept[name] for name in kept.files}
    for name, message in (("content_sha256", "is damaged"), ("format", "is damaged"), ("mean", "is damaged")):
        np.savez(file, **{key: value for key, value in content.items() if key != name})
        with pytest.raises(DataError, match=message):
            sealed_arrays.read_npz(file)
    later = "9"
    np.savez(file, **{**ARRAYS, "format": later, "content_sha256": sealed_arrays._digest(later, ARRAYS)})
    with pytest.raises(LaterFormatError, match="use the version that wrote it"):
        sealed_arrays.read_npz(file)


def test_a_sealed_safetensors_file_holds_the_same_tensors_and_its_own_metadata():
    content = sealed()
    found = load(content)
    assert found.keys() == TENSORS.keys()
    assert all(torch.equal(found[name], TENSORS[name]) for name in TENSORS)
    assert sealed_arrays.check_safetensors(content, "a.safetensors") == METADATA
    assert sealed_arrays.check_safetensors(save(TENSORS, METADATA), "of format 1") == METADATA
    assert sealed_arrays.check_safetensors(save(TENSORS), "of format 1") == {}


@settings(max_examples=200)
@given(st.data())
def test_no_changed_byte_of_a_safetensors_file_is_believed(data):
    """Not even one that JSON reads alike, such as a tab for a space."""
    content = sealed()
    place = data.draw(st.integers(0, len(content) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != content[place]))
    changed = content[:place] + bytes([other]) + content[place + 1 :]
    with pytest.raises(DataError):
        sealed_arrays.check_safetensors(changed, "a.safetensors")


def test_a_safetensors_file_of_a_later_format_is_refused():
    header = {name: {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for name in ("a",)}
    metadata = {"format": "9"}
    metadata["content_sha256"] = sealed_arrays._safetensors_digest({"__metadata__": metadata, **header}, b"")
    text = json.dumps({"__metadata__": metadata, **header}).encode()
    with pytest.raises(LaterFormatError, match="use the version that wrote it"):
        sealed_arrays.check_safetensors(len(text).to_bytes(8, "little") + text, "a.safetensors")
