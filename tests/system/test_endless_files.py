"""Whatever is read may be anybody's: devices and pipes without end are refused by every reader, in one line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pixelflow.generation import gallery
from pixelflow.generation.exports.layout import read_lines
from pixelflow.generation.prompt_files import read_prompts
from pixelflow.official.archive import Archive
from pixelflow.rewriters.mapping import Mapping
from pixelflow.runs.runfolder import RunFolder
from pixelflow.system.errors import DataError
from pixelflow.system.files import is_plain_file
from tests.conftest import make_run

ZEROS = Path("/dev/zero")


def test_plain_files_and_links_to_them(tmp_path):
    (tmp_path / "a").write_bytes(b"")
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "round").symlink_to("round")
    os.mkfifo(tmp_path / "pipe")
    assert [is_plain_file(tmp_path / name) for name in ("a", "link")] == [True, True]
    assert not any(is_plain_file(tmp_path / name) for name in ("round", "pipe", "gone", "."))
    assert not is_plain_file(ZEROS)


@pytest.mark.parametrize("read", [read_prompts, read_lines, gallery.read_order, Archive])
def test_readers_end(read):
    with pytest.raises(DataError, match=r"/dev/zero: is (larger than|a device|no plain file)"):
        read(ZEROS)


def test_a_mapping_of_prompts_ends():
    with pytest.raises(DataError, match="is a device"):
        Mapping(Mapping.Params(file=ZEROS), device=None).rewrite(["a"])


def test_the_record_of_a_run_ends(tmp_path, tiny_spec):
    run = make_run(tmp_path / "run", tiny_spec)
    (run / "environment.json").unlink()
    (run / "environment.json").symlink_to(ZEROS)
    with pytest.raises(DataError, match="is a device"):
        _ = RunFolder(run).classes
