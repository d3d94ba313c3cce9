"""Weights are found where the user puts them, and nothing is opened whose hash is another."""

from __future__ import annotations

import hashlib

import pytest

from pixelflow.system import pretrained
from pixelflow.system.errors import DataError, MissingDependencyError, MissingInputError
from pixelflow.system.pretrained import Published, fingerprint, folder_of, read_file, weights_folder

CONTENT = b"weights"
NET = Published("net.pt", "https://example.org/net.pt", hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(pretrained.WEIGHTS_VARIABLE, str(tmp_path / "weights"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    (tmp_path / "weights").mkdir()
    return tmp_path / "weights"


def test_a_file_is_found_in_the_folder_or_where_it_is_said_to_be(folder, tmp_path):
    (folder / "net.pt").write_bytes(CONTENT)
    assert read_file(NET, None, NET.sha256, "fid") == CONTENT
    (tmp_path / "other.pt").write_bytes(CONTENT)
    assert read_file(NET, tmp_path / "other.pt", NET.sha256, "fid") == CONTENT


def test_a_missing_file_is_one_line_with_all_that_is_needed(folder, tmp_path):
    with pytest.raises(MissingDependencyError) as error:
        read_file(NET, None, NET.sha256, "fid")
    (line,) = str(error.value).splitlines()
    for part in ("fid", str(folder / "net.pt"), NET.url, NET.sha256, "PIXELFLOW_WEIGHTS"):
        assert part in line
    with pytest.raises(MissingDependencyError, match=r"other\.pt is missing"):
        read_file(NET, tmp_path / "other.pt", NET.sha256, "fid")


def test_another_hash_is_refused(folder):
    (folder / "net.pt").write_bytes(CONTENT + b"!")
    with pytest.raises(DataError, match="it is not opened"):
        read_file(NET, None, NET.sha256, "fid")


def test_without_the_variable_the_folder_is_in_the_cache(monkeypatch):
    monkeypatch.delenv(pretrained.WEIGHTS_VARIABLE)
    assert weights_folder().parts[-2:] == (".cache", "pixelflow")


def test_a_folder_is_found_by_path_and_by_name(folder, tmp_path):
    for place in (tmp_path / "here", folder / "acme" / "net"):
        place.mkdir(parents=True)
        (place / "config.json").write_text("{}")
    assert folder_of(str(tmp_path / "here"), "clip", ("*.json",)) == tmp_path / "here"
    assert folder_of("acme/net", "clip", ("*.json",)) == folder / "acme/net"
    with pytest.raises(MissingInputError, match=r"holds no \*\.safetensors"):
        folder_of("acme/net", "clip", ("*.json", "*.safetensors"))
    with pytest.raises(MissingDependencyError, match="hf download acme/other"):
        folder_of("acme/other", "clip", ("*.json",))


def test_the_fingerprint_is_of_names_and_contents(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    first = fingerprint(tmp_path)
    (tmp_path / "README.md").write_text("not a part")
    assert fingerprint(tmp_path) == first
    (tmp_path / "config.json").write_text("{ }")
    second = fingerprint(tmp_path)
    (tmp_path / "config.json").rename(tmp_path / "other.json")
    assert len({first, second, fingerprint(tmp_path)}) == 3
