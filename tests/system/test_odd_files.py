"""What is no file, or one of another form, is a line and an exit code of its own."""

from __future__ import annotations

import hashlib
import json

import pytest

from pixelflow.runs import checkpoint
from pixelflow.runs.runfolder import RunFolder
from pixelflow.system.cache import cache_folder
from pixelflow.system.errors import DataError, UsageError
from pixelflow.system.files import write_bytes
from pixelflow.system.sealed_arrays import read_npz
from tests.conftest import make_run, make_spec


@pytest.fixture
def run(tmp_path) -> RunFolder:
    return RunFolder(make_run(tmp_path / "run", make_spec()))


def test_a_cache_in_a_home_that_is_not_there(monkeypatch):
    monkeypatch.setenv("PIXELFLOW_CACHE", "~nobody-at-all/x")
    with pytest.raises(UsageError, match=r"PIXELFLOW_CACHE: .*set PIXELFLOW_CACHE to another folder"):
        cache_folder("features")


@pytest.mark.parametrize("name", ["ema.safetensors", "state.json"])
@pytest.mark.parametrize("content", [b"", b"\xff" * 8, (9).to_bytes(8, "little") + b"[" * 9, b"[" * 100_000])
def test_files_of_another_form_under_a_fitting_manifest(run, name, content):
    (step,) = run.checkpoints.iterdir()
    (step / name).write_bytes(content)
    sums = json.loads((step / "manifest.json").read_bytes())["sha256"]
    sums[name] = hashlib.sha256(content).hexdigest()
    (step / "manifest.json").write_bytes(checkpoint._manifest(7, sums, 2))
    with pytest.raises(DataError, match="is no checkpoint of ours"):
        checkpoint.load(run.checkpoints, 7)


def test_links_as_drafts_go_and_what_they_lead_to_stays(run, tmp_path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("kept")
    (run.checkpoints / ".draft-step-00000009").symlink_to(precious)
    (run.path / ".x.json.999999.part").symlink_to(precious)
    run.clean()
    assert not [path for folder in (run.path, run.checkpoints) for path in folder.iterdir() if path.is_symlink()]
    assert (precious / "file").read_text() == "kept"


def test_a_draft_that_leads_elsewhere_is_not_followed(tmp_path):
    from pixelflow.system.files import draft_of

    other = tmp_path / "other"
    other.write_text("kept")
    draft_of(tmp_path / "a.json").symlink_to(other)
    write_bytes(tmp_path / "a.json", b"new")
    assert (other.read_text(), (tmp_path / "a.json").read_text()) == ("kept", "new")


def test_an_encrypted_npz_is_a_line(tmp_path):
    import io

    import numpy as np

    buffer = io.BytesIO()
    np.savez(buffer, a=np.arange(3))
    content = bytearray(buffer.getvalue())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + place] |= 1
    (tmp_path / "locked.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"locked\.npz: cannot be read as npz .*encrypted"):
        read_npz(tmp_path / "locked.npz")
