"""Draws docs/figures/editing.png from a run of the digits recipe: python docs/figures/editing.py RUN."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

import pixelflow
from pixelflow.generation.editing import Edit
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


if __name__ == "__main__":
    main(sys.argv[1])
