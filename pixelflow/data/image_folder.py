"""A folder of images: class subfolders, or one flat set."""

from __future__ import annotations

import contextlib
import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import ClassVar, Literal

import torch

from pixelflow.core.classes import in_order
from pixelflow.core.errors import DataError, MissingInputError
from pixelflow.core.files import printable
from pixelflow.core.interfaces import BadSample, Dataset, Sample
from pixelflow.core.sizes import Size
from pixelflow.data import decoding
from pixelflow.data.framing import FramedParams, Framing


class ImageFolder(Dataset):
    """All images below a folder, resized and cropped to the wanted size.

    Raises:
        MissingInputError: the folder does not exist.
        DataError: there are no images in it, or not in class subfolders where `labels` asks for them.
    """

    class Params(FramedParams):
        type: Literal["image_folder"] = "image_folder"
        root: Path
        """The folder; a relative path starts at the current directory."""
        labels: Literal["auto", "folder", "none"] = "auto"
        """"folder": each subfolder is a class; "none": all images below the folder, without labels; "auto": by
        subfolder, if all images lie in subfolders."""
        flip: bool = True
        """Mirror every other image, at random, left to right."""

    params: Params
    keeps_shape: ClassVar[bool] = True

    def __init__(self, params: Params, *, height: int, width: int, channels: int, sizes: tuple[Size, ...] = ()) -> None:
        super().__init__(params)
        self._framing = Framing(params, height, width, channels, sizes)
        self._root = params.root.expanduser()
        self._files = image_files(self._root, "; set data.root")
        self.classes = _classes(self._root, self._files, params.labels)
        label_of = {name: label for label, name in enumerate(self.classes)}
        self._labels = [label_of[_first_part(file)] for file in self._files] if self.classes else None

    @property
    def files(self) -> list[str]:
        """Paths of the images relative to the root, by index."""
        return self._files

    @property
    def fingerprint(self) -> str:
        """Settings, and the name, size and time of every file."""
        told = hashlib.sha256()
        for file in self._files:
            with contextlib.suppress(OSError):
                state = (self._root / file).stat()
                told.update(f"{file} {state.st_size} {state.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
        named = self.params.model_copy(update={"root": Path(printable(self.params.root))})
        return f"{named.model_dump_json()} {told.hexdigest()}"

    def __len__(self) -> int:
        return len(self._files)

    def sample(self, index: int, generator: torch.Generator) -> Sample | BadSample:
        file = self._root / self._files[index]
        try:
            image = self._framing(file, generator)
        except decoding.UnreadableImageError as error:
            return BadSample(printable(file), str(error))
        return Sample(image, label=None if self._labels is None else self._labels[index])


def channels_of(root: Path, files: Sequence[str]) -> int:
    """3 if one of the image files shows colour, else 1."""
    return 3 if any(decoding.has_colour(root / file) for file in files) else 1


def sizes_of(root: Path, files: Sequence[str], most: int) -> list[Size]:
    """The heights and widths of image files, the most frequent first.

    Looks at `most` of them, drawn at random by a fixed seed; at more only until one can be read.

    Raises:
        DataError: none can be read.
    """
    found: Counter[Size] = Counter()
    for number, file in enumerate(Random(0).sample(files, len(files))):
        if number >= most and found:
            break
        with contextlib.suppress(decoding.UnreadableImageError):
            found[decoding.shape(root / file)[1:]] += 1
    if not found:
        raise DataError(f"{root}: none of its images can be read")
    return [size for size, _ in found.most_common()]


def image_files(root: Path, cure: str = "") -> list[str]:
    """Paths, relative to `root`, of all image files below it; sorted folder by folder.

    Strings, because a million Path objects take a minute and a gigabyte. Errors end with the cure.

    Raises:
        MissingInputError, DataError
    """
    if not root.exists():
        raise MissingInputError(f"{root}: there is no such folder, relative to {Path.cwd()}{cure}")
    if not root.is_dir():
        raise MissingInputError(f"{root}: is not a folder that holds images{cure}")
    files = sorted(_walk(str(root), "", frozenset()), key=lambda file: file.split(os.sep))  # noqa: PTH206
    if not files:
        raise DataError(f"{root}: holds no images ({', '.join(decoding.SUFFIXES)}){cure}")
    return files


def _walk(folder: str, prefix: str, above: frozenset[str]) -> Iterator[str]:
    """Image files below a folder; links are followed, but never back into a folder that encloses them."""
    above = above | {os.path.realpath(folder)}
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                if os.path.realpath(entry.path) not in above:
                    yield from _walk(entry.path, f"{prefix}{entry.name}{os.sep}", above)
            elif entry.name.lower().endswith(decoding.SUFFIXES) and _may_be_read(entry):
                yield prefix + entry.name


def _may_be_read(entry: os.DirEntry[str]) -> bool:
    """A file, or a dead link (reported when read); never a pipe or device, whose reading may not end."""
    return entry.is_file() or (entry.is_symlink() and not Path(entry.path).exists())


def _first_part(file: str) -> str:
    """Name of the subfolder of the root in which a file lies; empty if it lies in the root itself.

    Letters with accents have two spellings in Unicode, which file systems choose; here they are written as one.
    """
    name = file.partition(os.sep)[0] if os.sep in file else ""
    return name if name.isascii() else unicodedata.normalize("NFC", printable(name))


def _classes(root: Path, files: list[str], labels: str) -> tuple[str, ...]:
    """Names of the class subfolders, numbers as numbers; empty if the images are to have no labels.

    Raises:
        DataError: labels are asked for, but some images lie in no subfolder.
    """
    loose = [file for file in files if os.sep not in file]
    if labels == "folder" and loose:
        raise DataError(f"{root / loose[0]}: lies in no class subfolder; move it into one, or set data.labels to none")
    if labels == "none" or loose:
        return ()
    return in_order(_first_part(file) for file in files)
