"""Files that lie, by family: each is read by the command that a user would read it with."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import numpy as np
import torch
from PIL import Image

from benchmarks.torture.trials import (
    Row,
    command,
    forked,
    refused_in_one_line,
    seeds,
    spec,
    verdict_of,
)

Target = Callable[[Path], object]
"""Writes a hostile file at a path."""

DEEP = 100_000


class Touch:
    """A pickle that runs a command when it is read."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.system, (f"touch {self.file}",)


def jpeg(random: Random, size: tuple[int, int] = (32, 32), form: str = "JPEG") -> bytes:
    pixels = np.random.default_rng(random.randrange(1 << 30)).integers(0, 255, (*size, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form)
    return buffer.getvalue()


def mangled(content: bytes, random: Random) -> bytes:
    """Cut, overwritten, doubled or flipped somewhere."""
    place = random.randrange(1, len(content))
    match random.randrange(5):
        case 0:
            return content[:place]
        case 1:
            return content[:place] + random.randbytes(min(64, len(content) - place)) + content[place + 64 :]
        case 2:
            return content[:place] + content
        case 3:
            return content[:place] + bytes([content[place] ^ 1 << random.randrange(8)]) + content[place + 1 :]
        case _:
            return content[:8] + random.randbytes(len(content) - 8)


def png_of(width: int, height: int) -> bytes:
    """A PNG whose header promises much."""
    import zlib

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(1 << 16))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def images(random: Random) -> Iterator[Target]:
    """Beside eight good pictures."""
    yield lambda path: path.write_bytes(b"")
    yield lambda path: path.write_bytes(png_of(60_000, 60_000))
    yield lambda path: path.write_bytes(png_of(1, 1 << 30))
    yield lambda path: os.mkfifo(path)
    yield lambda path: path.symlink_to(path)
    yield lambda path: path.symlink_to("/dev/zero")
    yield lambda path: path.mkdir()
    for form in ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"):
        for _ in range(4):
            content = mangled(jpeg(random, form=form), random)
            yield lambda path, content=content: path.write_bytes(content)


def image_folder(row: Row, place: Path, count: int) -> None:
    """Bad pictures among good ones are named and left out, or the command ends in one line."""
    call = command("train", "tiny.yaml", "training.steps=5", "training.bad_images=2", "training.sample_every=null")
    _control(place, call)
    for _, target in _targets(row, count, images):
        own = _fresh(place)
        target(own / "pictures/cat/bad.png")
        done = forked(call, own)
        row.count(verdict_of(done, done.code == 0 or refused_in_one_line(done)), f"{done.code} {done.said[-300:]}")


def archives(random: Random) -> Iterator[Target]:
    """Npz files of images and labels."""

    def arrays(path: Path, **named: np.ndarray) -> None:
        with path.open("wb") as file:
            np.savez(file, **named)

    good = np.zeros((8, 16, 16, 3), np.uint8)
    yield lambda path: arrays(path, arr_0=good, arr_1=np.array([10**8] * 8))
    yield lambda path: arrays(path, arr_0=good, arr_1=np.array([-1] * 8))
    yield lambda path: arrays(path, arr_0=good, arr_1=np.array([0.5] * 8))
    yield lambda path: arrays(path, arr_0=np.array([Touch(path.with_name("executed"))] * 8, dtype=object))
    yield lambda path: arrays(path, arr_0=good[0])
    yield lambda path: arrays(path, other=good)
    yield lambda path: _promising(path, (8, 40_000, 40_000, 3))
    yield lambda path: _promising(path, (1 << 40, 16, 16, 3))
    yield lambda path: _bomb(path)
    yield lambda path: os.mkfifo(path)
    yield lambda path: path.symlink_to("/dev/zero")
    buffer = io.BytesIO()
    np.savez(buffer, arr_0=good)
    for _ in range(30):
        content = mangled(buffer.getvalue(), random)
        yield lambda path, content=content: path.write_bytes(content)


def _promising(path: Path, shape: tuple[int, ...]) -> None:
    """An npz whose array's header promises more than there is."""
    header = str({"descr": "|u1", "fortran_order": False, "shape": shape}).encode()
    header += b" " * (63 - (len(header) + 10) % 64) + b"\n"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("arr_0.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(1000))


def _bomb(path: Path) -> None:
    """An npz of five megabytes with one image of six gigabytes."""
    header = str({"descr": "|u1", "fortran_order": False, "shape": (1, 45_000, 45_000, 3)}).encode()
    header += b" " * (63 - (len(header) + 10) % 64) + b"\n"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file, file.open("arr_0.npy", "w", force_zip64=True) as out:
        out.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
        for _ in range(45 * 3):
            out.write(bytes(45_000_000))


def npz(row: Row, place: Path, count: int) -> None:
    """Npz files as data: used if they are right, else refused in one line; nothing in them is run."""
    call = command("train", "tiny.yaml", "data={type: npz, file: data.npz}", "training.steps=1", "conditioners=[]")
    _control(place, call, lambda own: np.savez(own / "data.npz", arr_0=np.zeros((8, 16, 16, 3), np.uint8)))
    for _, target in _targets(row, count, archives):
        own = _fresh(place)
        target(own / "data.npz")
        done = forked(call, own)
        is_right = (done.code == 0 or refused_in_one_line(done)) and not (own / "executed").exists()
        row.count(verdict_of(done, is_right), f"{done.code} {done.said[-300:]}")


def _members(*given: tuple[str, bytes, str]) -> Target:
    """A tar file of these names, contents and kinds."""

    def write(path: Path) -> None:
        with tarfile.open(path, "w") as file:
            for name, content, kind in given:
                info = tarfile.TarInfo(name)
                info.size, info.type = len(content), getattr(tarfile, kind)
                info.linkname = "/etc/passwd"
                file.addfile(info, io.BytesIO(content) if kind == "REGTYPE" else None)

    return write


def _eight(random: Random) -> list[tuple[str, bytes, str]]:
    """Pictures for `_members`."""
    return [(f"{index}.jpg", jpeg(random), "REGTYPE") for index in range(8)]


def tars(random: Random) -> Iterator[Target]:
    """Tar files with members that lie about their names, kinds and sizes."""
    good = _eight(random)
    yield _members(*good, ("../../escaped.jpg", jpeg(random), "REGTYPE"))
    yield _members(*good, ("/tmp/escaped.jpg", jpeg(random), "REGTYPE"))
    yield _members(*good, ("link.jpg", b"", "SYMTYPE"))
    yield _members(*good, ("device.jpg", b"", "CHRTYPE"))
    yield _members(*good, ("pipe.jpg", b"", "FIFOTYPE"))
    yield _members(*[(f"{i}.cls", b"99999999", "REGTYPE") for i in range(8)], *good)
    yield _members(*[(f"{i}.json", b"[" * DEEP, "REGTYPE") for i in range(8)], *good)
    yield _members(*[(f"{i}.txt", b"\xff\xfe\x00\x1b[31m", "REGTYPE") for i in range(8)], *good)
    yield _members(("a.jpg", png_of(60_000, 60_000), "REGTYPE"))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        for name, content, _ in good:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    for _ in range(20):
        content = mangled(buffer.getvalue(), random)
        yield lambda path, content=content: path.write_bytes(content)


def shards(row: Row, place: Path, count: int) -> None:
    """Tar shards as data: nothing outside them is read or written."""
    data = "data={type: tar_shards, shards: data.tar}"
    call = command("train", "tiny.yaml", data, "training.steps=2", "training.sample_every=null", "conditioners=[]")
    _control(place, call, lambda own: _members(*_eight(Random(0)))(own / "data.tar"))
    for _, target in _targets(row, count, tars):
        own = _fresh(place)
        target(own / "data.tar")
        done = forked(call, own)
        is_right = (done.code == 0 or refused_in_one_line(done)) and "root:" not in done.said
        row.count(verdict_of(done, is_right), f"{done.code} {done.said[-300:]}")


def tables(random: Random) -> Iterator[Target]:
    """``metadata.jsonl`` of captions."""
    line = '{"file_name": "cat/000.png", "text": "a cat"}\n'
    deep = "[" * DEEP + "]" * DEEP
    odd = [
        "",
        "[" * DEEP,
        "null\n",
        "[]\n",
        '{"file_name": 7, "text": "a"}\n',
        '{"file_name": "../../../etc/passwd", "text": "a"}\n',
        '{"file_name": "/etc/passwd", "text": "a"}\n',
        f'{{"file_name": "cat/000.png", "text": {deep}}}\n',
        '{"file_name": "cat/000.png", "text": {"a": 1}}\n',
        '{"file_name": "cat/000.png", "text": "' + "x" * (5 << 20) + '"}\n',
        '{"file_name": "cat/000.png", "text": "\\u001b[31m\\u202e"}\n',
        '{"file_name": "cat\\u0000", "text": "a"}\n',
        line * 3,
    ]
    for text in odd:
        yield lambda path, text=text: path.write_text(text)
    for _ in range(15):
        content = mangled(line.encode() * 4, random)
        yield lambda path, content=content: path.write_bytes(content)
    yield lambda path: os.mkfifo(path)
    yield lambda path: path.symlink_to("/dev/zero")


def captions(row: Row, place: Path, count: int) -> None:
    """Tables of captions: read if they are right, else refused in one line."""
    data = "data={type: captioned_folder, root: pictures, uncaptioned: skip}"
    call = command("train", "tiny.yaml", data, "training.steps=1", "training.sample_every=null", "conditioners=[bytes]")
    line = json.dumps({"file_name": "cat/000.png", "text": "a cat"}) + "\n"
    _control(place, call, lambda own: (own / "pictures/metadata.jsonl").write_text(line))
    for _, target in _targets(row, count, tables):
        own = _fresh(place)
        target(own / "pictures/metadata.jsonl")
        done = forked(call, own)
        is_right = (done.code == 0 or refused_in_one_line(done)) and not _controls(done.said)
        row.count(verdict_of(done, is_right), f"{done.code} {done.said[-300:]}")


def _controls(said: str) -> bool:
    """Whether something reached the terminal that steers it."""
    return "\x1b[31m" in said or "\u202e" in said


def weights(random: Random) -> Iterator[Target]:
    """``model.pt`` of a published folder."""
    yield lambda path: torch.save({"a": Touch(path.with_name("executed"))}, path)
    yield lambda path: path.write_bytes(pickle.dumps(Touch(path.with_name("executed"))))
    yield lambda path: torch.save({"a": torch.full((4, 4), torch.nan)}, path)
    yield lambda path: torch.save([1, 2], path)
    yield lambda path: path.write_bytes(_nested(60))
    yield lambda path: os.mkfifo(path)
    yield lambda path: path.symlink_to("/dev/zero")
    buffer = io.BytesIO()
    torch.save({"a": torch.zeros(64, 64)}, buffer)
    for _ in range(25):
        content = mangled(buffer.getvalue(), random)
        yield lambda path, content=content: path.write_bytes(content)


def _nested(levels: int) -> bytes:
    """A pickle of tuples in tuples whose hash takes 2 ** levels steps."""
    return b"\x80\x02})" + b"2\x86" * levels + b"K\x01s."


def release(row: Row, place: Path, count: int) -> None:
    """Published weights: nothing in them is run, and what is no release is refused in one line."""
    for _, target in _targets(row, count, weights):
        own = _fresh(place)
        folder = own / "published"
        folder.mkdir()
        model = {"num_attention_heads": 2, "attention_head_dim": 16, "in_channels": 3, "out_channels": 3, "depth": 1,
                 "num_classes": 2, "patch_size": 4}  # fmt: skip
        scheduler = {"num_train_timesteps": 1000, "num_stages": 2, "gamma": -1 / 3}
        (folder / "config.yaml").write_text(json.dumps({"model": {"params": model}, "scheduler": scheduler}))
        target(folder / "model.pt")
        done = forked(command("import-official", "published", "runs/imported"), own)
        is_right = refused_in_one_line(done) and not (folder / "executed").exists()
        row.count(verdict_of(done, is_right), f"{done.code} {done.said[-300:]}")


def forms(random: Random) -> Iterator[Target]:
    """JSON and YAML that is deep, of another form, or no text at all."""
    for text in (
        "[" * DEEP,
        '{"a":' * DEEP,
        "null",
        "7",
        "[]",
        "{}",
        '"text"',
        "[1, 2]",
        '{"format": 99}',
        "\x00",
        "\x1b[31m",
    ):
        yield lambda path, text=text: path.write_text(text)
    yield lambda path: path.write_bytes(random.randbytes(1000))
    yield lambda path: path.unlink()
    yield lambda path: (path.unlink(), os.mkfifo(path))
    yield lambda path: (path.unlink(), path.symlink_to(path))
    yield lambda path: (path.unlink(), path.symlink_to("/dev/zero"))
    yield lambda path: (path.unlink(), path.mkdir())


def records(row: Row, place: Path, count: int) -> None:
    """Each of a run's records in another form: sampling says so in one line or does not need it."""
    model = _fresh(place / "made")
    made = forked(command("train", "tiny.yaml", "training.steps=4"), model)
    assert made.code == 0, made.said
    files = [path for path in (model / "runs/tiny").rglob("*") if path.suffix in (".json", ".yaml", ".jsonl")]
    for trial, (_, target) in enumerate(_targets(row, count, forms)):
        own = place / "own"
        shutil.rmtree(own, ignore_errors=True)
        shutil.copytree(model, own)
        file = own / files[trial % len(files)].relative_to(model)
        target(file)
        done = forked(command("sample", "runs/tiny", "--count", "2", "--out", "drawn"), own)
        again = forked(command("train", "tiny.yaml", "training.steps=5"), own)
        for one in (done, again):
            is_right = (one.code == 0 or refused_in_one_line(one)) and not _controls(one.said)
            row.count(verdict_of(one, is_right), f"{file.name} {one.code} {one.said[-300:]}")


def _targets(row: Row, count: int, family: Callable[[Random], Iterator[Target]]) -> Iterator[tuple[Random, Target]]:
    """`count` of a family, each with its own chance; again from the start with other chance where it is small."""
    done = 0
    for random in seeds(row.fault, count):
        for target in family(random):
            if done == count:
                return
            done += 1
            yield random, target


def _control(place: Path, call: Callable[[], None], target: Callable[[Path], object] = lambda own: None) -> None:
    """What is no lie succeeds, so that a refusal says something."""
    own = _fresh(place)
    target(own)
    done = forked(call, own)
    assert done.code == 0, done.said


def _fresh(place: Path) -> Path:
    own = place / "own"
    shutil.rmtree(own, ignore_errors=True)
    spec(own)
    return own


FAMILIES: dict[str, Callable[[Row, Path, int], None]] = {
    "pictures": image_folder,
    "npz": npz,
    "tar shards": shards,
    "captions": captions,
    "published weights": release,
    "records of a run": records,
}
