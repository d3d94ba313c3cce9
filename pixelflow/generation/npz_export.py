"""Many images for an evaluator: a folder of numbered PNGs, and an npz written image by image."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pixelflow.core.model import FlowModel
from pixelflow.core.spec import ExperimentSpec
from pixelflow.data.npz import CLASSES, IMAGES, LABELS
from pixelflow.generation.draw import Drawn, draw
from pixelflow.generation.numbered import NumberedImages
from pixelflow.generation.orders import Order
from pixelflow.generation.settings import code_behind
from pixelflow.generation.weaker import Weaker
from pixelflow.system import decoding
from pixelflow.system.errors import DataError
from pixelflow.system.files import check_free, draft_of, is_plain_file, sync, writing
from pixelflow.system.parallel import Parallel


@dataclass(frozen=True)
class NpzExport:
    """An order of images that is carried out into a folder, and from there into one npz."""

    model: FlowModel
    spec: ExperimentSpec
    order: Order
    folder: Path
    weak: Weaker | None = None
    classes: tuple[str, ...] = ()
    """Names of the labels, if they have any."""
    parallel: Parallel | None = None
    """Processes that all draw; the first writes."""

    @property
    def images(self) -> NumberedImages:
        recipe = self.order.recipe | code_behind(self.spec, self.order.sampling)
        return NumberedImages(self.folder, len(self.order.seeds), recipe)

    def check(self, file: Path) -> None:
        """Raise CannotWriteError where the folder or the file is something else's, before anything is drawn."""
        self.images.check()
        if _comment(file) != self._digest:
            check_free(file, "--npz")

    @property
    def _digest(self) -> bytes:
        """What the npz says of itself, as the comment of its zip: by which order its images were drawn."""
        return hashlib.sha256(json.dumps(self.images.recipe, sort_keys=True).encode()).hexdigest().encode()

    def draw(self) -> Iterator[int]:
        """Draw what is not in the folder yet; yields how many are there. Raises as `NumberedImages.draw`."""
        return self.images.draw(self._drawn, self.parallel)

    def write(self, file: Path) -> Iterator[int]:
        """Write the npz from the folder; yields how many images are in it.

        Raises:
            DataError: an image of the folder is damaged.
            CannotWriteError: the system refuses; nothing is left behind.
        """
        images, order = self.images, self.order
        height, width = order.size or self.spec.image.size
        pixels = map(_read, map(images.file, range(images.count)))
        return write_npz(file, pixels, (images.count, height, width), order.labels, self.classes, self._digest)

    def _drawn(self, indices: Sequence[int]) -> Iterator[Drawn]:
        order = self.order
        return draw(
            self.model,
            self.spec,
            _at(order.values, indices),
            [order.seeds[index] for index in indices],
            sampling=order.sampling,
            weak=self.weak,
            null_values=_at(order.null_values, indices),
            size=order.size,
            edits=order.edits(indices),
            parallel=self.parallel,
        )


def write_npz(
    file: Path,
    images: Iterable[NDArray[np.uint8]],
    shape: tuple[int, int, int],
    labels: Sequence[int] | None,
    classes: Sequence[str] | None = None,
    comment: bytes = b"",
) -> Iterator[int]:
    """Write images (h w 3), one in memory at a time, as ``arr_0`` (n h w 3); yields how many are written.

    This is what the ADM evaluator reads (arXiv 2105.05233); labels become ``arr_1``, as its samplers write them, and
    their names ``classes``, which it passes over.

    Args:
        shape: number, height and width of the images.
        comment: of the zip, which readers of arrays do not look at.

    Raises:
        CannotWriteError: the system refuses; nothing is left behind.
    """
    draft = draft_of(file)
    header = {"descr": "|u1", "fortran_order": False, "shape": (*shape, 3)}
    with writing(file):
        try:
            with zipfile.ZipFile(draft, "w", zipfile.ZIP_STORED) as archive:
                archive.comment = comment
                with archive.open(f"{IMAGES}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array_header_1_0(member, header)
                    for done, image in enumerate(images, start=1):
                        member.write(image.tobytes())
                        yield done
                if labels is not None:
                    with archive.open(f"{LABELS}.npy", "w") as member:
                        np.lib.format.write_array(member, np.array(labels, np.int64), allow_pickle=False)
                if labels is not None and classes:
                    with archive.open(f"{CLASSES}.npy", "w") as member:
                        np.lib.format.write_array(member, np.array(classes, np.str_), allow_pickle=False)
            sync(draft)
            draft.replace(file)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise


def _comment(file: Path) -> bytes | None:
    """The comment of a zip; None if it is none."""
    if not is_plain_file(file):
        return None
    try:
        with zipfile.ZipFile(file) as archive:
            return archive.comment
    except (OSError, zipfile.BadZipFile):
        return None


def _read(file: Path) -> NDArray[np.uint8]:
    """A PNG as (h w 3)."""
    try:
        return np.asarray(decoding.read(file, 3))
    except decoding.UnreadableImageError as error:
        raise DataError(f"{file}: cannot be read ({error}); remove it, and it is drawn again") from None


def _at(values: Mapping[str, Sequence[object]], indices: Sequence[int]) -> dict[str, Sequence[object]]:
    return {field: [column[index] for index in indices] for field, column in values.items()}
