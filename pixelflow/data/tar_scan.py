"""The members of a tar of samples, found by their headers alone.

Members belong together when their names are the same up to the first dot of their last part (the WebDataset
convention): ``train/000017.jpg``, ``train/000017.txt``, ``train/000017.cls``. A name with more dots is that of a sample
of its own, up to the last one (``IMG.2024.01.jpg``, ``IMG.2024.01.txt``), unless there is a sample up to the first dot,
of which it is another field then (``000017.mask.png``).
"""

from __future__ import annotations

import io
import tarfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from pixelflow.data.caption_tables import MAX_BYTES
from pixelflow.data.listing import plain
from pixelflow.system import decoding
from pixelflow.system.errors import DataError, first_line

_BLOCK = 512
_LARGEST_LABEL = 256
_LARGEST_HEADER = 1 << 20
_KEPT = 100
"""Refused members, and kinds of members that are left out, that are named."""
NOWHERE = (-1, 0)

Part = tuple[int, int]
"""Offset and size of a member's content."""


@dataclass
class Members:
    """The members of one key."""

    image: Part = NOWHERE
    suffix: str = ""
    """Of the image's name, in lower case."""
    text: Part = NOWHERE
    table: Part = NOWHERE
    label: str | None = None
    """A class's name or number."""


@dataclass
class Found:
    """All that one shard holds."""

    samples: dict[str, Members] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    """Members of other kinds: kind -> number."""
    refused: list[str] = field(default_factory=list)
    """The first members that are left alone, with the reason; and what is wrong with the shard itself."""
    count: int = 0
    """Of all that are left alone."""
    _dotted: list[tuple[PurePosixPath, Part]] = field(default_factory=list)
    """Members that are fields of a sample or samples of their own, which is known when all others are."""

    def refuse(self, what: str) -> None:
        self.count += 1
        if len(self.refused) < _KEPT:
            self.refused.append(what)

    def leave_out(self, kind: str) -> None:
        self.left_out[kind if kind in self.left_out or len(self.left_out) < _KEPT else "others"] += 1

    def take(self, path: PurePosixPath, part: Part, file: IO[bytes]) -> None:
        """Enter a member where it belongs."""
        stem, _, extension = path.name.partition(".")
        if path.name.startswith("."):
            self.leave_out("hidden")
        elif not _is_field(path.suffix.lower()):
            self.leave_out(path.suffix.lower() or "without a suffix")
        elif "." in extension:
            self._dotted.append((path, part))
        else:
            self._enter(path, stem, part, file)

    def settle(self, file: IO[bytes]) -> None:
        """Enter the members whose names have more dots than one."""
        for path, part in self._dotted:
            stem, _, extension = path.name.partition(".")
            if plain(str(path.parent / stem)) in self.samples:
                self.leave_out(f".{extension.lower()}")
            else:
                self._enter(path, path.stem, part, file)
        self._dotted.clear()

    def _enter(self, path: PurePosixPath, stem: str, part: Part, file: IO[bytes]) -> None:
        sample = self.samples.setdefault(plain(str(path.parent / stem)), Members())
        suffix = path.suffix.lower()
        taken = NOWHERE
        if suffix == ".txt":
            taken, sample.text = sample.text, part
        elif suffix == ".json":
            taken, sample.table = sample.table, part
        elif suffix == ".cls":
            self._take_label(path, part, file, sample)
        else:
            taken, sample.image, sample.suffix = sample.image, part, suffix
        if taken != NOWHERE:
            self.refuse(f"{path} (there are several of its kind; the last counts)")

    def _take_label(self, path: PurePosixPath, part: Part, file: IO[bytes], sample: Members) -> None:
        """A class label is small and is read at once; the archive's own place in the file stays as it was."""
        before = file.tell()
        file.seek(part[0])
        content = file.read(min(part[1], _LARGEST_LABEL + 1))
        file.seek(before)
        try:
            sample.label = _label(content)
        except ValueError as error:
            self.refuse(f"{path} (a label must be a class's name or number; {error})")


def _label(content: bytes) -> str:
    """The name or number in a ``.cls``; raises ValueError."""
    if len(content) > _LARGEST_LABEL:
        raise ValueError(f"it has more than {_LARGEST_LABEL} bytes")
    try:
        text = plain(content.decode("utf-8-sig").strip())
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8 text") from None
    if not text or len(text.splitlines()) > 1:
        raise ValueError("it has several lines" if text else "it is empty")
    return text


def _is_field(suffix: str) -> bool:
    return suffix in (".txt", ".json", ".cls") or decoding.is_picture(f"x{suffix}")


class _Headers(io.FileIO):
    """A file that refuses to be read in large pieces: headers of members say how long they are."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= _LARGEST_HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return super().read(size)


def scan(shard: Path) -> Found:
    """The members of a shard, by the headers alone; a damaged archive is read as far as it goes.

    Raises:
        DataError: it is no uncompressed tar.
    """
    found, whole = Found(), shard.stat().st_size
    with _Headers(shard) as file:
        try:
            archive = tarfile.open(fileobj=file, mode="r:")  # noqa: SIM115 - it owns nothing but `file`
        except Exception as error:  # parsers of hostile files raise whatever they run into
            raise DataError(f"{shard}: is no tar, or one that must be unpacked first ({first_line(error)})") from None
        before = -1
        try:
            while (member := archive.next()) is not None:
                if archive.offset <= before:
                    raise tarfile.ReadError("it leads back to what was read")
                before = archive.offset
                archive.members.clear()  # type: ignore[attr-defined]  # or it keeps all of them
                _take(member, file, whole, found)
            file.seek(archive.offset)
            if file.read(_BLOCK) != bytes(_BLOCK):
                raise tarfile.ReadError("no end of the archive")
        except Exception as error:
            found.refuse(f"whatever follows byte {archive.offset} ({first_line(error)})")
        found.settle(file)
    return found


def _take(member: tarfile.TarInfo, file: IO[bytes], whole: int, found: Found) -> None:
    """Enter a member where it belongs, or among what is refused."""
    if member.isdir():
        return
    name = member.name.encode("utf-8", "backslashreplace").decode().replace("\n", "\\n")
    reason = _objection(member, whole)
    if reason is not None:
        found.refuse(f"{name} ({reason})")
    else:
        found.take(PurePosixPath(name), (member.offset_data, member.size), file)


def _objection(member: tarfile.TarInfo, whole: int) -> str | None:
    """Why a member is not read; None if it may be."""
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts:
        return "its path leaves the archive"
    if member.issym() or member.islnk():
        return "a link"
    if not member.isreg() or member.issparse():
        return "a device, pipe or other special file"
    if member.size < 0 or member.offset_data + member.size > whole:
        return f"it declares {member.size} bytes, more than the archive has"
    is_picture = decoding.is_picture(path.name)
    limit = decoding.LARGEST_FILE if is_picture else MAX_BYTES
    if (is_picture or path.suffix.lower() in (".txt", ".json")) and member.size > limit:
        return f"larger than {limit} bytes"
    return None
