"""Whatever is read may be anybody's: devices and pipes without end are refused by every reader, in one line."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest
from PIL import Image

from pixelflow.conditioners.token_cache import TokenCache
from pixelflow.evaluation.folders import Pictures
from pixelflow.generation import gallery
from pixelflow.generation.exports.layout import read_lines
from pixelflow.generation.npz_export import _comment
from pixelflow.generation.numbered import NumberedImages
from pixelflow.generation.prompt_files import read_prompts
from pixelflow.official.archive import Archive
from pixelflow.rewriters.mapping import Mapping
from pixelflow.runs.runfolder import RunFolder
from pixelflow.sweep.report.samples import strip
from pixelflow.sweep.work.claims import Claim
from pixelflow.system import journal
from pixelflow.system.errors import DataError, PixelflowError
from pixelflow.system.files import is_plain_file, opened_to_add, read_end
from pixelflow.system.pretrained import folder_of
from pixelflow.trackers.identity import identity
from pixelflow.training.curves import Course
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


@pytest.fixture
def patience() -> Iterator[None]:
    """What waits is interrupted."""

    def ended(number: int, frame: FrameType | None) -> None:
        pytest.fail("it waits for what nobody writes")

    before = signal.signal(signal.SIGALRM, ended)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def drawn_beside(pipe: Path) -> object:
    """Images to measure, beside what should be their record."""
    Image.new("RGB", (8, 8)).save(pipe.with_name("a.png"))
    return Pictures(pipe.parent).files == ["a.png"]


def held(pipe: Path) -> object:
    with Claim(pipe.parent).held() as is_mine:
        return is_mine is False


def numbered(pipe: Path) -> object:
    return NumberedImages(pipe.parent, 2, {}).are_others


def network(pipe: Path) -> object:
    return folder_of(str(pipe.parent), "t5", ("*.safetensors",))


def added(pipe: Path) -> object:
    return journal.append(pipe, journal.sealed({"step": 1}, journal.Position()))


@pytest.mark.parametrize(
    ("name", "look"),
    [
        ("samples.json", drawn_beside),
        (".claim-000000000", held),
        ("recipe.json", numbered),
        ("a.safetensors", network),
        ("a.safetensors", lambda pipe: TokenCache(pipe.parent)),
        ("metrics.jsonl", added),
        ("worker-0.txt", opened_to_add),
        ("worker-0.txt", lambda pipe: read_end(pipe, 100)),
        ("run-id.txt", lambda pipe: identity(pipe.parent)),
        ("drawn.npz", lambda pipe: _comment(pipe) is None),
        ("000000.png", lambda pipe: strip(pipe.parent) is None),
        ("metrics.jsonl", lambda pipe: not Course(pipe).read_on()),
    ],
)
def test_pipes_are_not_waited_for(tmp_path, patience, name, look):
    """They are passed over, or refused in a line."""
    os.mkfifo(tmp_path / name)
    try:
        is_fine = look(tmp_path / name)
    except PixelflowError as error:
        is_fine = error.exit_code in (65, 66, 73) and "\n" not in str(error)
    assert is_fine


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
