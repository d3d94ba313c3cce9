"""What lies below a folder: pictures, the text files beside them, and what is left out, counted by kind.

Names are compared as people read them: letters with accents have two spellings in Unicode (NFC and NFD), of which file
systems choose one; and ``.TXT`` is ``.txt``. Paths are kept as the system gives them, also where they are no UTF-8.
Links are followed, for folders of data are often put together from links, but never back into a folder above them.
"""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pixelflow.system import decoding
from pixelflow.system.errors import DataError, MissingInputError

_TEXT = ".txt"
_TABLES = ("metadata.jsonl", "metadata.csv")
"""Of captions; they are no pictures, and nothing that was left out either."""


def plain(name: str) -> str:
    """The one spelling of a name."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


@dataclass
class Listing:
    """Pictures below a folder, by paths relative to it. Strings: a million Path objects take a minute and a gigabyte.

    Text files are kept only where they are not ``NAME.txt`` beside ``NAME.jpg``, for the same reason.
    """

    images: list[str] = field(default_factory=list)
    """Sorted folder by folder."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Kind -> number."""
    _lacking: set[str] = field(default_factory=set)
    """Pictures without a text file."""
    _odd: dict[str, str] = field(default_factory=dict)
    """Picture -> its text file, where that is spelled otherwise."""

    def text(self, image: str) -> str | None:
        """The text file of a picture; None if it has none."""
        if image in self._lacking:
            return None
        return self._odd.get(image, _stem(image) + _TEXT)

    def add(self, prefix: str, images: Sequence[str], texts: Sequence[str], with_texts: bool) -> None:
        """Enter the names of the pictures and of the text files in one folder."""
        if not with_texts:
            self._count(_TEXT, len(texts))
        by_stem, used = _by_stem(texts), set()
        for name in images:
            image = prefix + name
            self.images.append(image)
            if not with_texts:
                continue
            own = by_stem.get(_stem(name)) or by_stem.get(plain(_stem(name)))
            if own is None:
                self._lacking.add(image)
                continue
            used.add(own)
            if own != _stem(name) + _TEXT:
                self._odd[image] = prefix + own
        if with_texts:
            self._count("text without a picture", len(texts) - len(used))

    def _count(self, kind: str, number: int) -> None:
        if number:
            self.left_out[kind] += number


def _stem(path: str) -> str:
    return os.path.splitext(path)[0]  # noqa: PTH122 - a million paths


def _by_stem(texts: Sequence[str]) -> dict[str, str]:
    """Text files by their stems, where ``.txt`` goes before ``.TXT``, and by the stems' other spelling."""
    found: dict[str, str] = {}
    for name in texts:
        stem = _stem(name)
        if stem not in found or name.endswith(_TEXT):
            found[stem] = name
    return {plain(stem): name for stem, name in found.items()} | found


def listed(root: Path, cure: str = "", with_texts: bool = False) -> Listing:
    """All that lies below `root`. Errors end with the cure.

    Args:
        with_texts: text files belong to the pictures.

    Raises:
        MissingInputError: there is no such folder.
        DataError: it holds no pictures.
    """
    if not root.exists():
        raise MissingInputError(f"{root}: there is no such folder, relative to {Path.cwd()}{cure}")
    if not root.is_dir():
        raise MissingInputError(f"{root}: is not a folder that holds images{cure}")
    found = Listing()
    for prefix, images, texts in _folders(str(root), "", frozenset(), found.left_out):
        found.add(prefix, images, texts, with_texts)
    if not found.images:
        raise DataError(f"{root}: holds no images (.png, .jpg and all else that Pillow reads){cure}")
    found.images.sort(key=lambda file: file.split(os.sep))  # noqa: PTH206
    return found


_Folder = tuple[str, list[str], list[str]]


def _folders(folder: str, prefix: str, above: frozenset[str], left_out: Counter[str]) -> Iterator[_Folder]:
    """(prefix, names of pictures, names of text files) of a folder and of all below it."""
    above = above | {os.path.realpath(folder)}
    images: list[str] = []
    texts: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            if name.startswith("."):
                left_out["hidden"] += 1
            elif _is_folder(entry):
                if os.path.realpath(entry.path) not in above:
                    yield from _folders(entry.path, f"{prefix}{name}{os.sep}", above, left_out)
            elif decoding.is_picture(name):
                if _may_be_read(entry):
                    images.append(name)
                else:
                    left_out["pipe or device"] += 1
            elif decoding.suffix_of(name) == _TEXT:
                texts.append(name)
            elif name not in _TABLES:
                left_out[decoding.suffix_of(name) or "without a suffix"] += 1
    yield prefix, images, texts


def _may_be_read(entry: os.DirEntry[str]) -> bool:
    """A file, or a dead link (reported when read); never a pipe or device, whose reading may not end."""
    try:
        return entry.is_file() or (entry.is_symlink() and not Path(entry.path).exists())
    except OSError:  # a link that leads to itself, reported likewise
        return True


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
