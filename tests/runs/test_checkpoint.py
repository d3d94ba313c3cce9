"""Checkpoints: nothing is lost by a kill, a full disk or a flipped bit."""

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pixelflow.runs import checkpoint, tensor_files
from pixelflow.runs.tensor_files import Share
from pixelflow.system.errors import CannotWriteError, DataError, MissingInputError

PARTS = ("model", "ema", "optimizer")


def parts(value: float) -> dict[str, dict[str, torch.Tensor]]:
    return {part: {"a.weight": torch.full((3, 4), value + i), "b": torch.tensor(value)} for i, part in enumerate(PARTS)}


def save_steps(folder: Path, *steps: int, keep: int = 2) -> None:
    for step in steps:
        checkpoint.save(folder, step, parts(step), {"images": step * 8}, keep)


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_what_is_saved_is_loaded(tmp_path):
    save_steps(tmp_path, 7)
    loaded = checkpoint.load(tmp_path, parts=PARTS)
    assert (loaded.step, loaded.state) == (7, {"images": 56})
    for part, named in parts(7).items():
        assert set(loaded.tensors[part]) == set(named)
        assert all(torch.equal(loaded.tensors[part][name], tensor) for name, tensor in named.items())


def test_only_wanted_parts_are_loaded_and_must_be_there(tmp_path):
    save_steps(tmp_path, 1)
    assert set(checkpoint.load(tmp_path).tensors) == {"ema"}
    with pytest.raises(MissingInputError, match="holds no shadow weights"):
        checkpoint.load(tmp_path, parts=("shadow",))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64, torch.int64, torch.bool])
def test_every_dtype_comes_back_bitwise(tmp_path, dtype):
    tensor = torch.randn(5, generator=torch.Generator().manual_seed(0)).to(dtype)
    checkpoint.save(tmp_path, 1, {"ema": {"x": tensor}}, {}, keep=1)
    loaded = checkpoint.load(tmp_path).tensors["ema"]["x"]
    assert loaded.dtype == dtype
    assert torch.equal(loaded, tensor)


def test_tied_and_strided_tensors_are_saved(tmp_path):
    base = torch.arange(12.0).view(3, 4)
    checkpoint.save(tmp_path, 1, {"ema": {"a": base, "tied": base, "turned": base.T, "row": base[1]}}, {}, keep=1)
    loaded = checkpoint.load(tmp_path).tensors["ema"]
    assert torch.equal(loaded["tied"], base)
    assert torch.equal(loaded["turned"], base.T)
    assert torch.equal(loaded["row"], base[1])


def test_only_the_newest_are_kept(tmp_path):
    save_steps(tmp_path, 1, 2, 3, 4, keep=2)
    assert names(tmp_path) == ["step-00000003", "step-00000004"]
    assert checkpoint.steps(tmp_path) == [3, 4]
    assert checkpoint.load(tmp_path, step=3).step == 3


def test_steps_are_ordered_as_numbers(tmp_path):
    save_steps(tmp_path, 99_999_999, 100_000_000)
    assert checkpoint.steps(tmp_path) == [99_999_999, 100_000_000]


def test_missing_checkpoints_are_missing_input(tmp_path):
    with pytest.raises(MissingInputError, match="holds no checkpoint"):
        checkpoint.load(tmp_path / "nowhere")
    save_steps(tmp_path, 5)
    with pytest.raises(MissingInputError, match=r"step 6 \(there are: 5\)"):
        checkpoint.load(tmp_path, step=6)


FILES = ("manifest.json", "state.json", *(f"{part}.safetensors" for part in PARTS))


def flip(path: Path, bit: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[bit // 8] ^= 1 << bit % 8
    path.write_bytes(raw)


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(where=st.floats(0, 1, exclude_max=True))
def test_every_flipped_bit_is_noticed(tmp_path, caplog, name, where):
    if not checkpoint.steps(tmp_path):
        save_steps(tmp_path, 1, 2)
    path = tmp_path / "step-00000002" / name
    bit = int(where * 8 * path.stat().st_size)
    flip(path, bit)
    caplog.clear()
    assert checkpoint.load(tmp_path, parts=PARTS).step == 1
    assert name in caplog.text
    assert "falling back" in caplog.text
    with pytest.raises(DataError, match=name):
        checkpoint.load(tmp_path, step=2, parts=PARTS)
    flip(path, bit)
    assert checkpoint.load(tmp_path, parts=PARTS).step == 2


@pytest.mark.parametrize("name", FILES)
def test_a_missing_or_cut_file_is_noticed(tmp_path, name):
    save_steps(tmp_path, 1, 2, 3, keep=3)
    (tmp_path / "step-00000003" / name).unlink()
    cut = tmp_path / "step-00000002" / name
    cut.write_bytes(cut.read_bytes()[:-1])
    assert checkpoint.load(tmp_path, parts=PARTS).step == 1


def test_a_checkpoint_under_another_steps_name_is_noticed(tmp_path):
    save_steps(tmp_path, 1)
    (tmp_path / "step-00000001").rename(tmp_path / "step-00000009")
    with pytest.raises(DataError, match="every checkpoint is damaged"):
        checkpoint.load(tmp_path)


def test_a_damaged_checkpoint_does_not_push_out_a_good_one(tmp_path):
    save_steps(tmp_path, 10, 20, keep=2)
    flip(tmp_path / "step-00000020" / "ema.safetensors", 900)
    save_steps(tmp_path, 15, keep=1)
    assert checkpoint.load(tmp_path).step == 15


def test_saving_a_step_again_replaces_it(tmp_path):
    save_steps(tmp_path, 1)
    checkpoint.save(tmp_path, 1, parts(5.0), {}, keep=2)
    assert checkpoint.load(tmp_path).tensors["ema"]["b"] == 5
    assert names(tmp_path) == ["step-00000001"]


def test_a_kill_while_replacing_puts_the_old_one_back(tmp_path):
    save_steps(tmp_path, 1)
    (tmp_path / "step-00000001").rename(tmp_path / ".replaced-step-00000001")
    checkpoint.clean(tmp_path)
    assert checkpoint.load(tmp_path).step == 1


@pytest.mark.parametrize("failing", ["save_file", "write_through", "sync", "sync_folder"])
def test_a_full_disk_keeps_the_old_checkpoint_and_leaves_no_litter(tmp_path, monkeypatch, failing):
    save_steps(tmp_path, 1)

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tensor_files if failing in ("save_file", "sync") else checkpoint, failing, full)
    with pytest.raises(CannotWriteError, match=r"No space left on device.*are kept") as caught:
        save_steps(tmp_path, 2)
    assert caught.value.exit_code == 73
    monkeypatch.undo()
    assert names(tmp_path) == ["step-00000001"] or failing == "sync_folder"
    assert checkpoint.load(tmp_path).step in (1, 2)


@pytest.fixture
def small_disk(tmp_path):
    """A real file system of 1 MiB."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("needs the right to mount a tmpfs")
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_really_full_disk(small_disk):
    folder = small_disk / "checkpoints"
    tensors = {"ema": {"x": torch.ones(150_000)}}
    checkpoint.save(folder, 1, tensors, {}, keep=1)
    with pytest.raises(CannotWriteError, match="No space left"):
        checkpoint.save(folder, 2, tensors, {}, keep=1)
    assert names(folder) == ["step-00000001"]
    assert checkpoint.load(folder).step == 1


def test_kill_minus_nine_while_saving_leaves_a_loadable_checkpoint_20_of_20(tmp_path):
    """One process saves without pause and is forked, so that 20 kills need one import of torch."""
    delays = random.Random(0)
    for _ in range(20):
        process = os.fork()
        if process == 0:
            save_for_ever(tmp_path)
        wait_for_a_save(tmp_path, max(checkpoint.steps(tmp_path), default=0))
        time.sleep(delays.uniform(0, 0.03))
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        loaded = checkpoint.load(tmp_path, parts=("model", "ema"))
        assert torch.equal(loaded.tensors["ema"]["x"], torch.full((20_000,), float(loaded.step)))
        assert loaded.state == {"step": loaded.step}
    save_steps(tmp_path, loaded.step + 100)
    assert len(names(tmp_path)) == 2
    assert not [name for name in names(tmp_path) if name.startswith(".")]


def save_for_ever(folder: Path) -> None:
    step = max(checkpoint.steps(folder), default=0)
    try:
        while True:
            step += 1
            tensors = {"x": torch.full((20_000,), float(step))}
            checkpoint.save(folder, step, {"model": tensors, "ema": tensors}, {"step": step}, keep=2)
    finally:
        os._exit(1)


def wait_for_a_save(folder: Path, before: int) -> None:
    deadline = time.monotonic() + 20
    while max(checkpoint.steps(folder), default=0) <= before:
        assert time.monotonic() < deadline, "nothing was saved"
        time.sleep(0.001)


def test_nothing_is_pickled(tmp_path):
    save_steps(tmp_path, 1)
    for path in (tmp_path / "step-00000001").iterdir():
        assert path.suffix in (".json", ".safetensors")
    assert json.loads((tmp_path / "step-00000001" / "state.json").read_text()) == {"images": 8}


def save_shares(folder: Path, step: int, whole: dict[str, torch.Tensor], count: int) -> None:
    """As `count` processes do, each of which holds some rows; what has no rows is the first's."""
    checkpoint.start(folder)
    sums = {}
    for index in range(count):
        rows = {name: tensor.chunk(count)[index:][:1] for name, tensor in whole.items() if tensor.ndim}
        own = {name: found[0] for name, found in rows.items() if found}
        own |= {name: tensor for name, tensor in whole.items() if not tensor.ndim and not index}
        sums |= checkpoint.write(folder, step, {"ema": own, "model": own}, Share(index, count))
    checkpoint.commit(folder, step, sums, {}, keep=2)


WHOLE = {"wide": torch.arange(35.0).view(7, 5), "short": torch.tensor([1.0, 2.0]), "count": torch.tensor(3)}


@pytest.mark.parametrize("count", [1, 2, 4, 11])
def test_shares_are_joined_when_they_are_read(tmp_path, count):
    save_shares(tmp_path, 1, WHOLE, count)
    found = checkpoint.load(tmp_path, parts=("ema", "model"))
    for named in found.tensors.values():
        assert named.keys() == WHOLE.keys()
        assert all(torch.equal(named[name], tensor) for name, tensor in WHOLE.items())
    assert len(found.sha256) == 2 * count + 1


def test_a_reader_may_keep_rows_of_other_shares(tmp_path):
    save_shares(tmp_path, 1, WHOLE, 3)
    rows = checkpoint.load(tmp_path, keep=lambda part, name, tensor: tensor[1:4] if name == "wide" else tensor)
    assert torch.equal(rows.tensors["ema"]["wide"], WHOLE["wide"][1:4])


@pytest.mark.parametrize("name", ["ema-2-of-3.safetensors", "model-3-of-3.safetensors"])
@pytest.mark.parametrize("harm", ["flipped", "gone"])
def test_a_damaged_share_is_noticed(tmp_path, name, harm):
    save_shares(tmp_path, 1, WHOLE, 2)
    save_shares(tmp_path, 2, WHOLE, 3)
    path = tmp_path / "step-00000002" / name
    flip(path, 100) if harm == "flipped" else path.unlink()
    assert checkpoint.load(tmp_path, parts=("ema", "model")).step == 1


def test_what_was_not_written_by_all_is_no_checkpoint(tmp_path):
    save_shares(tmp_path, 1, WHOLE, 2)
    checkpoint.write(tmp_path, 2, {"ema": WHOLE}, Share(1, 2))
    assert checkpoint.steps(tmp_path) == [1]
    checkpoint.start(tmp_path)
    assert names(tmp_path) == ["step-00000001"]


def test_former_versions_know_that_a_checkpoint_in_shares_is_not_for_them(tmp_path):
    save_shares(tmp_path, 1, WHOLE, 1)
    save_shares(tmp_path, 2, WHOLE, 2)
    formats = [
        json.loads((tmp_path / f"step-0000000{step}" / "manifest.json").read_text())["format"] for step in (1, 2)
    ]
    assert formats == [2, 3]
