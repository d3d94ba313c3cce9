"""Processes that read data: none outlives the training or makes it wait, and pictures come as they are."""

import contextlib
import faulthandler
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pixelflow.core import seeds
from pixelflow.data.digits import Digits
from pixelflow.data.image_folder import ImageFolder
from pixelflow.runs import checkpoint
from pixelflow.system.errors import DataError, OutOfMemoryError
from pixelflow.training import loader
from tests import processes
from tests.conftest import TINY
from tests.training.test_loader import Numbers, same, take
from tests.training.test_resume import assert_same


@pytest.fixture
def pictures(tmp_path) -> Path:
    for index in range(12):
        pixels = np.random.default_rng(index).integers(0, 256, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{index}.png")
    return tmp_path


def test_pictures_come_as_8_bits_and_are_the_same(pictures):
    dataset = ImageFolder(ImageFolder.Params(root=pictures), height=32, width=32, channels=3)
    alone, read = (take(dataset, 6, workers=count) for count in (0, 2))
    assert same(alone, read)
    assert all(group.pixels.dtype == torch.uint8 for batch in read for group in batch.groups), "also behind the workers"


def test_8_bits_become_what_data_sets_make_of_them_on_the_device():
    pixels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    images = loader.SizeGroup(torch.tensor([0]), pixels).images(torch.device("cpu"))
    assert images.dtype == torch.float32
    assert torch.equal(images, pixels.float() / 127.5 - 1)


@pytest.mark.parametrize(
    "images",
    [
        torch.linspace(-1, 1, 300)[None, None, None],
        torch.tensor([[[[-1.0, 1.5]]]]),
        torch.tensor([[[[-1.0, float("nan")]]]]),
        torch.ones(1, 1, 2, 2, dtype=torch.bfloat16),
    ],
)
def test_other_images_stay_what_they_are(images):
    back = loader._unpacked(loader._packed(images))
    assert back.dtype == images.dtype
    assert torch.equal(back.nan_to_num(9), images.nan_to_num(9))


def die(monkeypatch, end) -> None:
    """In a process that reads, an image of batch 25 ends it."""
    original, last = Digits.sample, torch.randperm(1797, generator=seeds.generator(3, "order", 0))[200]

    def sample(self, index, generator):
        if index == last and multiprocessing.parent_process() is not None:
            end()
        return original(self, index, generator)

    monkeypatch.setattr(Digits, "sample", sample)


ENDS = {
    "KILL": (lambda: os.kill(os.getpid(), signal.SIGKILL), OutOfMemoryError, r"killed.*memory.*training\.workers"),
    "SEGV": (
        lambda: (faulthandler.disable(), os.kill(os.getpid(), signal.SIGSEGV)),
        DataError,
        r"ended by SIGSEGV; training\.workers=0",
    ),
    "exit": (lambda: os._exit(3), DataError, "ended with code 3"),
}


@pytest.mark.parametrize("how", ENDS)
def test_a_process_that_dies_is_one_line_and_the_state_is_saved(trained, tmp_path, monkeypatch, how):
    end, error, said = ENDS[how]
    options = ("training.steps=40", "training.save_every=1000", "image.size=8", "training.workers=2")
    options += ("training.log_every=10",)
    with monkeypatch.context() as patch:
        die(patch, end)
        with pytest.raises(error, match=said) as caught:
            trained("run", *options)
    (saved,) = checkpoint.steps(tmp_path / "run" / "checkpoints")
    assert 0 < saved <= 25
    assert str(caught.value).endswith(f"; step {saved} is saved")
    assert "\n" not in str(caught.value)
    assert not multiprocessing.active_children()
    assert_same(trained("whole", *options), trained("run", *options))


class OddError(Exception):
    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (ValueError("torn"), "torn"),
        (DataError("no such table"), "no such table"),
        (OddError(1, 2), "OddError: 1 and 2"),
    ],
)
def test_what_reading_raises_is_raised(monkeypatch, error, raised):
    def sample(self, index, generator):
        raise error

    monkeypatch.setattr(Numbers, "sample", sample)
    with pytest.raises(RuntimeError if isinstance(error, OddError) else type(error)) as caught:
        take(Numbers(8), 1, workers=1)
    assert str(caught.value) == raised


def test_a_huge_order_waits_for_nobody():
    """Places of a batch that no pipe holds, to processes that have as much to say."""
    found = take(Numbers(10_000), 6, batch_size=10_000, workers=1)
    assert [len(batch.groups[0].members) for batch in found] == [10_000] * 6


def test_a_stream_that_nobody_closes_keeps_no_process():
    code = """
from tests.training.test_loader import Numbers
from pixelflow.training.loader import batches
stream = batches(Numbers(8), batch_size=4, seed=0, workers=2, first_step=0, bad_images=0)
next(stream)
raise RuntimeError("left open")
"""
    done = processes.run("-c", code, timeout=60)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "RuntimeError: left open"


def command(tmp_path, *overrides: str) -> list[str]:
    (tmp_path / "tiny.yaml").write_text(TINY)
    return ["-m", "pixelflow", "train", str(tmp_path / "tiny.yaml"), "--out", str(tmp_path), *overrides]


def test_too_few_open_files_are_one_line(tmp_path):
    limited = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n"
    limited += "from pixelflow.cli.app import main\nmain()"
    done = processes.run("-c", limited, *command(tmp_path, "training.workers=40")[2:])
    assert done.returncode == 71, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("pixelflow:")]
    assert "Too many open files" in line
    assert "ulimit -n" in line


def leave_no_files() -> list:
    """Open all that this process may; what keeps them open."""
    kept = []
    with contextlib.suppress(OSError):
        while True:
            kept.append(Path("/dev/null").open())  # noqa: SIM115
    return kept


@pytest.mark.parametrize("workers", [0, 1])
def test_images_are_not_bad_because_files_run_out(pictures, monkeypatch, workers):
    """Else the training would go on, with others in their places."""
    dataset = ImageFolder(ImageFolder.Params(root=pictures), height=32, width=32, channels=3)
    original, before = ImageFolder.sample, resource.getrlimit(resource.RLIMIT_NOFILE)

    def sample(self, index, generator):
        kept = leave_no_files()
        try:
            return original(self, index, generator)
        finally:
            for file in kept:
                file.close()

    monkeypatch.setattr(ImageFolder, "sample", sample)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, before[1]))
    try:
        with pytest.raises(OutOfMemoryError, match=r"\.png: too many files are open.*ulimit -n"):
            take(dataset, 1, workers=workers)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def children(process: int) -> set[int]:
    stats = (path.read_text().rsplit(")", 1) for path in Path("/proc").glob("[0-9]*/stat") if path.exists())
    return {int(head.split()[0]) for head, rest in stats if int(rest.split()[1]) == process}


@pytest.mark.skipif(sys.platform != "linux", reason="children are found in /proc")
def test_readers_end_with_a_killed_training_which_goes_on_at_once(tmp_path):
    arguments = command(tmp_path, "training.workers=2", "training.steps=1000000", "image.size=8")
    process = processes.start(*arguments)
    process.wait_for("step 5/")
    readers = children(process.pid)
    assert len(readers) == 2
    process.kill()
    process.wait()
    again = processes.run(*arguments, "training.steps=2")
    assert again.returncode == 0, again.stderr
    for reader in readers:
        with contextlib.suppress(ProcessLookupError):
            for _ in range(100):  # it may still be on its way out
                os.kill(reader, 0)
                time.sleep(0.1)
            pytest.fail("a reader lives on")


CONFINED = """
import ctypes, subprocess
assert ctypes.CDLL(None).unshare(0x00020000) == 0  # CLONE_NEWNS: this process alone sees what it mounts
subprocess.run(["mount", "--make-rprivate", "/"], check=True)
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", "/dev/shm"], check=True)
"""


def has_namespaces() -> bool:
    tried = ["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/dev/shm"]
    return shutil.which("unshare") is not None and subprocess.run(tried, capture_output=True).returncode == 0


@pytest.mark.skipif(not has_namespaces(), reason="needs root, for a file system of its own")
def test_a_small_shared_memory_is_enough(tmp_path, pictures):
    options = (f"data={{type: image_folder, root: '{pictures}'}}", "image={size: 64, channels: 3}", "conditioners=[]")
    options += ("training.batch_size=16", "training.steps=2", "training.workers=2", "sampling.guidance=none")
    main = f"{CONFINED}\nfrom pixelflow.cli.app import main\nmain()"
    done = processes.run("-c", main, *command(tmp_path, *options)[2:], timeout=120)
    assert done.returncode == 0, done.stderr
