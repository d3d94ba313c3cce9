"""Many generated images as numbered PNGs: drawn by a recipe, gone on with after a stop, never all in memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from pixelflow.generation.draw import Drawn
from pixelflow.generation.gallery import AT_WORK
from pixelflow.generation.pictures import to_pil
from pixelflow.generation.whole_png import is_whole
from pixelflow.system.errors import CannotWriteError, NonFiniteError, PixelflowError
from pixelflow.system.files import check_free, draft_of, locked, read_bytes, remove_drafts, write_text, writing
from pixelflow.system.parallel import Parallel
from pixelflow.system.records import LARGEST

_RECIPE = "recipe.json"


@dataclass(frozen=True)
class NumberedImages:
    """A folder with ``000000.png ...`` and the recipe that they are drawn by."""

    folder: Path
    count: int
    recipe: Mapping[str, object]
    """Everything that decides on the images, as JSON."""

    def file(self, index: int) -> Path:
        return self.folder / f"{index:06d}.png"

    @property
    def are_others(self) -> bool:
        """Whether the folder holds images by another recipe."""
        file = self.folder / _RECIPE
        return file.exists() and _json(file) != json.loads(json.dumps(self.recipe))

    def draw(self, draw: Callable[[Sequence[int]], Iterator[Drawn]], parallel: Parallel | None = None) -> Iterator[int]:
        """Write the images that are not there yet, or damaged; yields how many are there after each batch.

        Args:
            draw: the images of these indices, in batches; of several processes in the first.
            parallel: processes that all call this, and of which the first alone looks at the folder and writes.

        Raises:
            CannotWriteError: the disk refuses, or the folder holds something else.
            UsageError: another process draws into it.
            NonFiniteError: an image is not finite; the ones before it are written.
        """
        if parallel is not None and not parallel.is_first:
            yield from self._drawn(draw, parallel.gather([])[0])
            return
        self.check()
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder, AT_WORK):
            self._claim()
            missing = [index for index in range(self.count) if not is_whole(self.file(index))]
            if parallel is not None:
                parallel.gather(missing)
            yield from self._drawn(draw, missing)

    def _drawn(self, draw: Callable[[Sequence[int]], Iterator[Drawn]], missing: Sequence[int]) -> Iterator[int]:
        done = self.count - len(missing)
        yield done
        remaining = iter(missing)
        for drawn in draw(missing):
            finite = drawn.images.flatten(1).isfinite().all(dim=1)
            for is_finite, picture in zip(finite.tolist(), to_pil(drawn.images), strict=True):
                index = next(remaining)
                if not is_finite:
                    raise NonFiniteError(
                        f"image {index} is not finite: the weights or the sampling settings diverge; "
                        "try more steps, less guidance or an earlier step"
                    )
                self._save(picture, self.file(index))
            done += len(drawn.images)
            yield done

    def _save(self, picture: Image.Image, target: Path) -> None:
        draft = draft_of(target)
        with writing(target):
            picture.save(draft, format="PNG")
            draft.replace(target)

    def check(self) -> None:
        """Raise CannotWriteError where the folder is something else's."""
        if self.are_others:
            raise CannotWriteError(f"{self.folder}: holds images by another recipe; choose another --out")
        if not (self.folder / _RECIPE).is_file():
            check_free(self.folder)

    def _claim(self) -> None:
        """Make the folder this recipe's, and remove what a kill left; raises as `check`."""
        self.check()
        remove_drafts(self.folder)
        if not (self.folder / _RECIPE).is_file():
            write_text(self.folder / _RECIPE, json.dumps(self.recipe, indent=1))


def _json(file: Path) -> object:
    """What a file holds; None if it is not JSON."""
    try:
        return json.loads(read_bytes(file, LARGEST))
    except (ValueError, RecursionError, PixelflowError):
        return None
