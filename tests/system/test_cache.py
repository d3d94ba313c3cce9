"""The cache is where it is said to be, and a place that cannot be written is named with its cure."""

from __future__ import annotations

import pytest

from pixelflow.system.cache import cache_folder
from pixelflow.system.errors import CannotWriteError


def test_the_variable_says_where(tmp_path, monkeypatch):
    monkeypatch.setenv("PIXELFLOW_CACHE", str(tmp_path / "here"))
    assert cache_folder("features") == tmp_path / "here" / "features"
    assert cache_folder("features").is_dir()
    monkeypatch.delenv("PIXELFLOW_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder("features") == tmp_path / ".cache" / "pixelflow" / "features"


def test_a_place_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("PIXELFLOW_CACHE", str(tmp_path / "file"))
    with pytest.raises(CannotWriteError, match="set PIXELFLOW_CACHE to another folder"):
        cache_folder("features")
