"""A folder of images with captions: ``.txt`` files beside them, or a table."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

import torch

from pixelflow.core.interfaces import BadSample, Dataset, Sample, Survey
from pixelflow.core.sizes import Size
from pixelflow.data.caption_tables import BadCaptionError
from pixelflow.data.captions import TABLES, Captions, drawn
from pixelflow.data.framing import FramedParams
from pixelflow.data.image_folder import ImageFolder
from pixelflow.system.errors import DataError
from pixelflow.system.printing import printable

logger = logging.getLogger(__name__)


class CaptionedFolder(Dataset):
    """The images of `image_folder`, each with one of its captions, drawn at random.

    Captions stand in ``NAME.txt`` beside ``NAME.jpg``, one a line, or in ``metadata.jsonl`` or ``metadata.csv``
    (Hugging Face's imagefolder convention). An image whose caption cannot be read counts as unreadable.

    Raises:
        MissingInputError: the folder does not exist.
        DataError: there are no images in it, a table cannot be read, or images have no caption.
    """

    class Params(FramedParams):
        type: Literal["captioned_folder"] = "captioned_folder"
        root: Path
        """The folder; a relative path starts at the current directory."""
        column: str | None = None
        """The table's column that holds a caption or a list of them; by default text, caption, captions or prompt."""
        uncaptioned: Literal["refuse", "skip"] = "refuse"
        """What becomes of images that have no caption at all."""
        labels: Literal["auto", "folder", "none"] = "none"
        """Whether subfolders are classes as well, as in ``image_folder``."""

    params: Params
    keeps_shape: ClassVar[bool] = True

    def __init__(self, params: Params, *, height: int, width: int, channels: int, sizes: tuple[Size, ...] = ()) -> None:
        super().__init__(params)
        pictures = ImageFolder.Params(
            root=params.root,
            labels=params.labels,
            resize=params.resize,
            crop=params.crop,
            flip=params.flip,
            ground=params.ground,
        )
        self._images = ImageFolder(pictures, height=height, width=width, channels=channels, sizes=sizes, captions=True)
        self.classes = self._images.classes
        root = params.root.expanduser()
        self._captions = Captions(root, self._images.listing, params.column)
        self.left_out = self._images.left_out
        self._indices = self._captioned(root)

    def _captioned(self, root: Path) -> list[int]:
        """The indices of the images that have captions.

        Raises:
            DataError: one has none, and such are refused, or all have none.
        """
        has = [self._captions.has(file) for file in self._images.files]
        lacking = has.count(False)
        if lacking:
            first = printable(self._images.files[has.index(False)])
            what = f"{root}: {lacking} of {len(has)} images have no caption, the first: {first}"
            if lacking == len(has) or self.params.uncaptioned == "refuse":
                raise DataError(
                    f"{what}; write {Path(first).with_suffix('.txt').name} beside it, add it to "
                    f"{' or '.join(TABLES)}, or set data.uncaptioned to skip"
                )
            logger.warning("%s; they are skipped", what)
            self.left_out = {**self.left_out, "without a caption": lacking}
        shared = self._captions.shared(self._images.files)
        if shared:
            logger.warning(
                "%s: %d images have their captions in a text file with others of the same name, the first: %s and %s",
                root, len(shared), *map(printable, shared[:2]),
            )  # fmt: skip
        return [index for index, captioned in enumerate(has) if captioned]

    @property
    def fingerprint(self) -> str:
        """Settings, and the files of the images; captions do not change what an image looks like."""
        chosen = hashlib.sha256(str(self._indices).encode()).hexdigest()
        return f"{self.params.model_dump_json()} {chosen} {self._images.fingerprint}"

    def __len__(self) -> int:
        return len(self._indices)

    def captions(self, index: int) -> list[str]:
        try:
            return self._captions.of(self._images.files[self._indices[index]])
        except BadCaptionError:
            return []

    def sample(self, index: int, generator: torch.Generator) -> Sample | BadSample:
        own = self._indices[index]
        file = self._images.files[own]
        try:
            captions = self._captions.of(file)
        except BadCaptionError as error:
            return BadSample(printable(str(self.params.root / file)), str(error))
        sample = self._images.sample(own, generator)
        if isinstance(sample, BadSample):
            return sample
        return replace(sample, caption=drawn(captions, generator))

    def survey(self, most: int) -> Survey:
        return self._images.survey(most)
