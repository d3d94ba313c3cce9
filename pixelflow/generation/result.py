"""A drawing in Python: what was decided on it, and what came of it."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from PIL.Image import Image
from torch import Tensor

from pixelflow.core.model import FlowModel
from pixelflow.core.sampling import OnStep
from pixelflow.core.spec import SamplingSpec
from pixelflow.generation.draw import Drawn, Request, draw_request, mean_nfe
from pixelflow.generation.orders import Order
from pixelflow.generation.pictures import CAPTION_CELL, CELL, columns_of, grid, to_pil
from pixelflow.system.errors import StoppedError

_SHOWN = 100
"""Most images in the picture of a result."""


@dataclass(frozen=True)
class Drawing:
    """All that was decided on a drawing, before anything is drawn."""

    model: FlowModel
    request: Request
    sampling: SamplingSpec
    order: Order | None
    """The same as a record; None where tensors decide that no order holds, such as noise."""
    titles: tuple[str, ...]
    """Caption, class or seed of each image."""
    keep_stages: bool = False
    on_step: OnStep | None = None

    def draw(self, progress: Callable[[str, int, int], object] | None = None) -> Result:
        """Carry it out.

        Args:
            progress: called as ``progress("images", done, total)`` before the first batch and after each.

        Raises:
            StoppedError: `on_step` raised it; ``result`` holds the batches that were finished.
            OutOfMemoryError: a batch does not fit into memory.
        """
        batches: list[Drawn] = []
        told, done, count = progress or (lambda what, done, total: None), 0, self.request.prompt.count
        told("images", 0, count)
        try:
            for drawn in draw_request(self.model, self.request, self.sampling, self.keep_stages, self.on_step):
                batches.append(drawn)  # one by one: those before a stop are kept
                done += len(drawn.images)
                told("images", done, count)
        except StoppedError as stopped:
            stopped.result = Result.of(batches, self.order, self.titles) if batches else None
            raise
        return Result.of(batches, self.order, self.titles)


@dataclass(frozen=True, repr=False)
class Result:
    """Generated images. At the end of a notebook's cell it shows itself as a grid."""

    images: Tensor
    """(b c h w) on the CPU, before clipping to [-1, 1]"""
    stages: tuple[Tensor, ...]
    """Final state of each stage (b c h_s w_s), coarse to fine, at the images' brightness; empty unless asked for."""
    nfe: tuple[float, ...]
    """Network function evaluations that an image took, by stage; a guided one counts as two."""
    order: Order | None
    """All that decided on the images; None where tensors did that no order holds, such as noise."""
    titles: tuple[str, ...] = ()
    """Caption, class or seed of each image."""

    @classmethod
    def of(cls, batches: Sequence[Drawn], order: Order | None, titles: Sequence[str]) -> Result:
        """The batches of a drawing, at least one, in one."""
        stages = zip(*(drawn.stages for drawn in batches), strict=True)
        images = torch.cat([drawn.images for drawn in batches])
        return cls(
            images,
            tuple(torch.cat(states) for states in stages),
            mean_nfe([(len(drawn.images), drawn.nfe) for drawn in batches]),
            order,
            tuple(titles[: len(images)]),
        )

    def pictures(self) -> list[Image]:
        """The images as 8-bit pictures, clipped."""
        return to_pil(self.images)

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        count, _, height, width = self.images.shape
        by_stage = " + ".join(f"{spent:g}" for spent in self.nfe)
        stages = f" ({by_stage} by stage)" if len(self.nfe) > 1 else ""
        return f"Result({count} image{'s' * (count > 1)} of {width}x{height}, {sum(self.nfe):g} NFE each{stages})"

    def _repr_png_(self) -> bytes:
        """A grid of the first images, for notebooks."""
        buffer = io.BytesIO()
        cell = CAPTION_CELL if self.order is not None and self.order.captions else CELL
        titles = self.titles[:_SHOWN]
        grid(self.images[:_SHOWN], titles, columns_of(titles), cell).save(buffer, format="PNG")
        return buffer.getvalue()
