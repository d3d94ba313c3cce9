"""Disks that are full, of every size: a file system of the trial's own, which needs Linux and root."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from benchmarks.torture.interrupted import SWEEP
from benchmarks.torture.trials import TINY, Row, command, digest, forked, newest, seeds, spec, verdict_of, weights_of

_NEW_NAMESPACE = 0x00020000
"""CLONE_NEWNS: what is mounted is seen by this process and its children alone."""


def can_mount() -> bool:
    """Whether a file system of one's own can be had here."""
    return hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("mount") is not None


def training(row: Row, place: Path, count: int, by_page: bool) -> None:
    """A training on a disk that fills up; with more room the same command goes on and equals one in peace."""
    if not can_mount():
        row.notes.append("not run here: needs Linux and root")
        return
    spec(place)
    steps = ["training.steps=8", "training.sample_every=4"]
    whole = forked(command("train", "tiny.yaml", *steps, "--run", "whole"), place)
    assert whole.code == 0, whole.said
    wanted, size = weights_of(place / "runs/whole"), _size(place / "runs/whole")
    for trial, random in enumerate(seeds(row.fault, count)):
        room = 4096 * (trial + 8) if by_page else random.randrange(1 << 15, size + (size >> 2))
        verdict, note = _one(place, room, steps, wanted)
        row.count(verdict, f"{room} bytes: {note}")


def _one(place: Path, room: int, steps: list[str], wanted: str) -> tuple[str, str]:
    ok = place / "ok"
    ok.unlink(missing_ok=True)

    def filling() -> int:
        disk = place / "disk"
        disk.mkdir(exist_ok=True)
        _mount(disk, room)
        train = command("train", "tiny.yaml", *steps, "--out", "disk", "--run", "full")
        first = _within(train)
        kept = newest(disk / "full")
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        second = _within(train)
        is_right = first in (0, 73) and second == 0 and weights_of(disk / "full") == wanted
        litter = [path for path in disk.rglob("*") if path.name.endswith(".part")]
        ok.write_text(f"{is_right and not litter} first {first}, kept {kept}, then {second}, litter {litter}")
        return 0

    done = forked(filling, place, 300)
    told = ok.read_text() if ok.exists() else "no answer"
    return verdict_of(done, told.startswith("True"), "lost"), f"{told} {done.said[-300:]}"


COMMANDS = {
    "sample": ["sample", "../runs/tiny", "--count", "40", "--out", "drawn", "sampling.batch_size=8"],
    "npz": ["sample", "../runs/tiny", "--count", "40", "--npz", "drawn.npz", "sampling.batch_size=8"],
    "eval": ["eval", "../runs/tiny", "--images", "40", "evaluation.metrics=[frechet]", "--out", "measured"],
    "sweep": ["sweep", "run", "../sweep.yaml", "--out", "sweeps"],
}
MADE = {"sample": "drawn/0*.png", "npz": "drawn.npz", "eval": "**/0*.png", "sweep": "**/step-*/ema.safetensors"}
"""What each leaves, whatever it had to go through."""


def others(row: Row, place: Path, count: int) -> None:
    """Commands other than train on a disk that fills up; with more room the same one ends the work."""
    if not can_mount():
        row.notes.append("not run here: needs Linux and root")
        return
    spec(place, TINY.replace("root: pictures", f"root: {place / 'pictures'}"))
    (place / "sweep.yaml").write_text(SWEEP)
    trained = forked(command("train", "tiny.yaml", "training.steps=2", "training.sample_every=null"), place)
    assert trained.code == 0, trained.said
    for name, arguments in COMMANDS.items():
        peace = place / f"{name}-peace"
        peace.mkdir()
        whole = forked(command(*arguments), peace)
        assert whole.code == 0, whole.said
        wanted, size = digest(*sorted(peace.glob(MADE[name]))), _size(peace)
        for random in seeds(f"{row.fault} {name}", count):
            room = random.randrange(1 << 13, size + (size >> 2))
            verdict, note = _other(place, room, arguments, MADE[name], wanted)
            row.count(verdict, f"{name}, {room} bytes: {note}")


def _other(place: Path, room: int, arguments: list[str], made: str, wanted: str) -> tuple[str, str]:
    ok = place / "ok"
    ok.unlink(missing_ok=True)

    def filling() -> int:
        disk = place / "disk"
        disk.mkdir(exist_ok=True)
        _mount(disk, room)
        os.chdir(disk)
        first = _within(command(*arguments))
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        second = _within(command(*arguments))
        files = sorted(disk.glob(made))
        is_right = first in (0, 70, 73) and second == 0 and bool(files) and digest(*files) == wanted
        litter = [path for path in disk.rglob("*") if path.name.endswith(".part")]
        ok.write_text(f"{is_right and not litter} first {first}, then {second}, litter {litter}")
        return 0

    done = forked(filling, place, 300)
    told = ok.read_text() if ok.exists() else "no answer"
    return verdict_of(done, told.startswith("True"), "lost"), f"{told} {done.said[-300:]}"


def _within(call: Callable[[], int | None]) -> int:
    """The exit code of a command in a copy of this process."""
    pid = os.fork()
    if pid == 0:
        try:
            call()
        except SystemExit as left:
            os._exit(left.code if isinstance(left.code, int) else 1)
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _mount(folder: Path, room: int) -> None:
    if ctypes.CDLL(None, use_errno=True).unshare(_NEW_NAMESPACE):
        raise OSError(ctypes.get_errno(), "unshare")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={room}", "tmpfs", str(folder)], check=True)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
