"""Draws editing.png and interpolation.png beside it from a run of digits: python docs/figures/editing.py RUN."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

import pixelflow
from pixelflow.generation.editing import Edit
from pixelflow.generation.interpolation import between
from pixelflow.generation.pictures import CELL, grid, write_png


def main(folder: str) -> None:
    run = pixelflow.load(folder, device="cpu")
    image = run.sample(labels="7", seed=1)[0].clamp(-1, 1)
    small = run.model.cascade.at_stage(image[None], run.model.cascade.stages[0])[0]
    mask = torch.zeros(16, 16)
    mask[8:] = 1
    rows = [
        run.sample(labels="7", seed=0, count=6, edit=Edit(small)),
        run.sample(labels="7", seed=0, count=6, edit=Edit(image, stage=0, strength=0.5)),
        run.sample(labels=["1", "2", "3", "4", "5", "9"], seed=0, edit=Edit(image, stage=0, strength=0.7)),
        run.sample(labels=["1", "2", "3", "4", "5", "9"], seed=0, edit=Edit(image, masks=mask)),
    ]
    shown = torch.cat([torch.cat([image[None], row]) for row in rows])
    names = ("enlarged", "varied", "turned", "filled in")
    titles = [title for name in names for title in ("image", *[name] * 6)]
    write_png(Path(__file__).with_name("editing.png"), grid(shown, titles, 7, CELL))
    ways = [
        between(run, seeds=[3, 8], labels=["7"], frames=8).draw(),
        between(run, seeds=[3], labels=["7", "2"], frames=8).draw(),
    ]
    names = ["seed 3", *[""] * 7, "seed 8", "7", *[""] * 7, "2"]
    shown = torch.cat([way.images for way in ways])
    write_png(Path(__file__).with_name("interpolation.png"), grid(shown, names, 9, CELL))


if __name__ == "__main__":
    main(sys.argv[1])
