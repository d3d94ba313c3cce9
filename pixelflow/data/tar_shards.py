"""Images with captions and labels in tar archives, in the WebDataset convention."""

from __future__ import annotations

import hashlib
import io
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal, TypeVar

import numpy as np
import torch

from pixelflow.core.classes import in_order, numbered
from pixelflow.core.interfaces import BadSample, Dataset, Sample, Survey
from pixelflow.core.sizes import Size
from pixelflow.data.caption_tables import BadCaptionError
from pixelflow.data.captions import drawn, json_captions, lines
from pixelflow.data.class_numbers import MOST_IDS, classes_of
from pixelflow.data.framing import FramedParams, Framing, surveyed
from pixelflow.data.patterns import Patterns, matching
from pixelflow.data.tar_index import TarIndex
from pixelflow.system import decoding
from pixelflow.system.decoding import UnreadableImageError
from pixelflow.system.errors import DataError

Place = TypeVar("Place")
Index = TypeVar("Index", bound=TarIndex)
logger = logging.getLogger(__name__)

_TOLD = 20
"""New shards after which the log says how far it is."""


class TarShards(Dataset):
    """Members of the same name belong together: an image, ``.txt`` or ``.json`` with captions, ``.cls`` with a label.

    The offsets of all members are found once and kept beside the shards, so that samples are read in any order.
    Nothing is unpacked to the disk. Members that could lead elsewhere (links, devices, paths out of the archive,
    sizes beyond its end) are never read; the log counts and names them.

    Raises:
        MissingInputError: a shard does not exist.
        DataError: a shard is no uncompressed tar, or there are no images; or some have captions and some not.
        CannotWriteError: the index cannot be kept.
    """

    class Params(FramedParams):
        type: Literal["tar_shards"] = "tar_shards"
        shards: Patterns
        """Paths, in which ``{000..012}`` and ``{a,b}`` stand for several, and ``*`` and ``?`` for what is there."""
        index: Path | None = None
        """Folder for the places of all members; by default beside the shards."""
        column: str | None = None
        """The key of a ``.json`` that holds a caption or a list of them; by default text, caption, captions or prompt.
        If it is given, a ``.txt`` is not looked at."""
        uncaptioned: Literal["refuse", "skip"] = "refuse"
        """What becomes of images without a caption where others have one."""
        labels: Literal["auto", "none"] = "auto"
        """"auto": the names or numbers in ``.cls``, if every image has one; numbers beyond any class's are ids, which
        become classes in their order."""

    params: Params
    keeps_shape: ClassVar[bool] = True

    def __init__(self, params: Params, *, height: int, width: int, channels: int, sizes: tuple[Size, ...] = ()) -> None:
        super().__init__(params)
        self._framing = Framing(params, height, width, channels, sizes)
        self._shards = self._indexed()
        self._firsts = np.cumsum([0, *(len(shard) for shard in self._shards)])
        self._captioned = np.concatenate([self._has_caption(shard) for shard in self._shards])
        self._indices = self._usable()
        if params.labels == "auto":
            self.classes, self._labels = self._labelled()
        self.has_names = self.classes != numbered(len(self.classes))
        self.left_out = sum((Counter(shard.left_out) for shard in self._shards), Counter())

    def _indexed(self) -> list[TarIndex]:
        """The shards with what lies where."""
        folder = self.params.index and self.params.index.expanduser()
        return looked_through(matching(self.params.shards, "data.shards"), lambda path: TarIndex(path, folder))

    def _has_caption(self, shard: TarIndex) -> np.ndarray:
        """(n)"""
        in_table = shard.tables[:, 0] >= 0
        return in_table if self.params.column is not None else in_table | (shard.texts[:, 0] >= 0)

    def _usable(self) -> np.ndarray:
        """The indices of the images with captions, or of all if none has one; raises DataError."""
        has = self._captioned
        if not len(has):
            raise DataError(f"{self._shards[0].shard}: holds no images; set data.shards")
        if has.any() and not has.all():
            shard, place = self._place(int(np.argmin(has)))
            what = f"{(~has).sum()} of {len(has)} images have no caption, the first: {shard.shard}: {shard.key(place)}"
            if self.params.uncaptioned == "refuse":
                raise DataError(f"{what}; set data.uncaptioned to skip")
            logger.warning("%s; they are skipped", what)
        return np.flatnonzero(has) if has.any() else np.arange(len(has))

    def _labelled(self) -> tuple[tuple[str, ...], np.ndarray]:
        """The classes, and the label of each image (n); no classes unless every image has a label.

        Raises:
            DataError: they are too many to be classes.
        """
        where, cure = f"{self._shards[0].shard} and {len(self._shards) - 1} more shards", "; set data.labels to none"
        labels = np.concatenate([shard.labels for shard in self._shards])
        has = labels[self._indices] >= 0
        if not has.all():
            if has.any():
                shard, place = self._place(int(self._indices[int(np.argmin(has))]))
                first = f"the first: {shard.shard}: {shard.key(place)}"
                logger.warning("%d of %d images have no label, %s; none is used", (~has).sum(), len(has), first)
            return (), labels
        if not any(shard.names for shard in self._shards):
            return classes_of(labels, where, cure)
        names = in_order(name for shard in self._shards for name in shard.classes.values())
        if len(names) > MOST_IDS:
            raise DataError(f"{where}: the labels are {len(names)} different names: they are no classes{cure}")
        places = {name: number for number, name in enumerate(names)}
        return names, np.concatenate([_renumbered(shard, places) for shard in self._shards])

    def _place(self, own: int) -> tuple[TarIndex, int]:
        """The shard of an image, and its place there."""
        shard = int(np.searchsorted(self._firsts, own, side="right")) - 1
        return self._shards[shard], own - int(self._firsts[shard])

    @property
    def fingerprint(self) -> str:
        """Settings, and the name, size and time of every shard."""
        told = "\n".join(f"{shard.shard} {shard.state}" for shard in self._shards)
        return f"{self.params.model_dump_json()} {hashlib.sha256(told.encode()).hexdigest()}"

    def __len__(self) -> int:
        return len(self._indices)

    def sample(self, index: int, generator: torch.Generator) -> Sample | BadSample:
        own = int(self._indices[index])
        shard, place = self._place(own)
        try:
            content = io.BytesIO(shard.content(shard.images[place]))
            image = self._framing(content, generator, shard.name(place))
            caption = drawn(self._captions(shard, place), generator)
        except (UnreadableImageError, BadCaptionError, OSError) as error:
            return BadSample(f"{shard.shard}: {shard.key(place)}", str(error))
        return Sample(image, label=int(self._labels[own]) if self.classes else None, caption=caption)

    def survey(self, most: int) -> Survey:
        return surveyed(len(self), most, self._size)

    def _size(self, index: int) -> Size:
        shard, place = self._place(int(self._indices[index]))
        try:
            content = io.BytesIO(shard.content(shard.images[place]))
        except OSError as error:
            raise UnreadableImageError(str(error)) from None
        return decoding.shape(content, shard.name(place))[1:]

    def captions(self, index: int) -> list[str]:
        try:
            return self._captions(*self._place(int(self._indices[index])))
        except (BadCaptionError, OSError):
            return []

    def _captions(self, shard: TarIndex, place: int) -> list[str]:
        """Empty if no image has any; raises BadCaptionError."""
        text, table, column = shard.texts[place], shard.tables[place], self.params.column
        if text[0] >= 0 and column is None:
            return lines(shard.content(text), "(.txt)")
        return json_captions(shard.content(table), "(.json)", column) if table[0] >= 0 else []


def looked_through(places: Sequence[Place], index: Callable[[Place], Index]) -> list[Index]:
    """The indices of all shards; says how far it is, for the first time takes a second for 10,000 samples."""
    found: list[Index] = []
    for place in places:
        found.append(index(place))
        if found[-1].is_new and len(found) % _TOLD == 0:
            logger.warning("looked through %d of %d shards, once", len(found), len(places))
    return found


def _renumbered(shard: TarIndex, places: Mapping[str, int]) -> np.ndarray:
    """A shard's labels (n) by the places of all names; -1 stays."""
    own, where = np.unique(shard.labels, return_inverse=True)
    return np.array([places[shard.classes[label]] if label >= 0 else -1 for label in own.tolist()], np.int64)[where]
