"""Run folders: complete or absent, and read back as they were written."""

import pytest

from pixelflow.runs.runfolder import RunFolder
from pixelflow.system.errors import CannotWriteError, DataError, MissingInputError, SpecError
from tests.conftest import make_spec


def test_a_run_reads_back_its_spec_and_classes(tmp_path, tiny_spec):
    created = RunFolder.create(tmp_path / "runs" / "tiny", tiny_spec, ("null", "één"))
    opened = RunFolder(created.path)
    assert opened.read_spec() == tiny_spec
    assert opened.classes == opened.classes_at(0) == ("null", "één")
    assert opened.checkpoints.is_dir()
    assert opened.samples.is_dir()
    assert opened.environment["packages"]["torch"]
    assert sorted(entry.name for entry in (tmp_path / "runs").iterdir()) == ["tiny"]


def test_imported_classes_have_no_names(tmp_path, tiny_spec):
    """Older imports called them by their numbers; what was trained, is on its own classes."""
    run = RunFolder.create(tmp_path / "run", tiny_spec, ["0", "1", "2"])
    assert (run.classes_at(0), run.classes_at(5)) == ((), ("0", "1", "2"))


def test_a_spec_can_be_replaced(tmp_path, tiny_spec):
    run = RunFolder.create(tmp_path / "tiny", tiny_spec, ())
    run.write_spec(make_spec("training.steps=99"))
    assert RunFolder(run.path).read_spec().training.steps == 99


def test_what_is_not_a_run_is_missing_input(tmp_path):
    with pytest.raises(MissingInputError, match="no such run"):
        RunFolder(tmp_path / "nowhere")
    with pytest.raises(MissingInputError, match="is not a run"):
        RunFolder(tmp_path)


def test_a_folder_in_use_is_not_written_into(tmp_path, tiny_spec):
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(CannotWriteError, match="not empty"):
        RunFolder.create(tmp_path, tiny_spec, ())


def test_a_file_in_the_way_is_cannot_write(tmp_path, tiny_spec):
    (tmp_path / "runs").touch()
    with pytest.raises(CannotWriteError, match="cannot be written"):
        RunFolder.create(tmp_path / "runs" / "tiny", tiny_spec, ())


def test_damaged_files_are_named(tmp_path, tiny_spec):
    run = RunFolder.create(tmp_path / "tiny", tiny_spec, ())
    (run.path / "environment.json").write_text("{")
    with pytest.raises(DataError, match=r"environment\.json"):
        _ = run.classes
    for text in ("[]", "{}", '{"classes": 3}'):
        (run.path / "environment.json").write_text(text)
        with pytest.raises(DataError, match=r"environment\.json: is not a run's environment"):
            _ = run.classes
    run.spec_file.write_text("name: [")
    with pytest.raises(SpecError, match=r"spec\.yaml:1"):
        run.read_spec()
    run.spec_file.write_bytes(b"name: a \xff")
    with pytest.raises(SpecError, match=r"spec\.yaml: is not UTF-8 text \(byte 8\)"):
        run.read_spec()
