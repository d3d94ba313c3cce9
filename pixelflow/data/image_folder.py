"""A folder of images: class subfolders, or one flat set."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import ClassVar, Literal

import torch

from pixelflow.core.classes import in_order
from pixelflow.core.interfaces import BadSample, Dataset, Sample, Survey
from pixelflow.core.sizes import Size
from pixelflow.data.framing import FramedParams, Framing, surveyed
from pixelflow.data.listing import listed, plain
from pixelflow.system import decoding
from pixelflow.system.errors import DataError
from pixelflow.system.printing import printable


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

    def __init__(
        self,
        params: Params,
        *,
        height: int,
        width: int,
        channels: int,
        sizes: tuple[Size, ...] = (),
        captions: bool = False,
    ) -> None:
        super().__init__(params)
        self._framing = Framing(params, height, width, channels, sizes)
        self._root = params.root.expanduser()
        self.listing = listed(self._root, "; set data.root", captions)
        """What lies below the root."""
        self.left_out = self.listing.left_out
        self._files = self.listing.images
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
        named = self.params.model_copy(update={"root": Path(printable(str(self.params.root)))})
        return f"{named.model_dump_json()} {told.hexdigest()}"

    def __len__(self) -> int:
        return len(self._files)

    def sample(self, index: int, generator: torch.Generator) -> Sample | BadSample:
        file = self._root / self._files[index]
        try:
            image = self._framing(file, generator)
        except decoding.UnreadableImageError as error:
            return BadSample(printable(str(file)), str(error))
        return Sample(image, label=None if self._labels is None else self._labels[index])

    def survey(self, most: int) -> Survey:
        return surveyed(len(self), most, lambda index: decoding.shape(self._root / self._files[index])[1:])


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


def image_files(root: Path) -> list[str]:
    """Paths, relative to `root`, of all pictures below it; sorted folder by folder; raises as `listed`."""
    return listed(root).images


def _first_part(file: str) -> str:
    """The subfolder of the root in which a file lies, as its class is called; empty if it lies in the root itself."""
    return plain(printable(file.partition(os.sep)[0])) if os.sep in file else ""


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
