"""How near a drawing of few steps comes to the teacher's own with 30 steps of Heun, from equal noise.

    python benchmarks/jumps.py [TEACHER] [STUDENT] [--images 200]

prints the root mean square difference of pixels (of 2, from -1 to 1), and writes a picture: a row an image, a column a
sampler with its steps a stage, the teacher's first.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

import pixelflow
from pixelflow.generation.pictures import filmstrip, write_png
from pixelflow.system.errors import PixelflowError

SHOWN = 10
ROWS = [
    *(("heun", 10), ("euler", 1), ("euler", 2), ("euler", 4), ("euler", 8), ("midpoint", 1), ("midpoint", 2)),
    *(("jump", 1), ("jump", 2), ("jump", 4), ("jump", 8)),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("teacher", nargs="?", default="runs/digits")
    parser.add_argument("student", nargs="?", default="runs/digits-shortcut")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--guidance", type=float, default=1.5, help="of the teacher")
    parser.add_argument("--out", type=Path, default=Path("jumps.png"))
    asked = parser.parse_args()
    teacher, student = (pixelflow.load(path, device="cpu") for path in (asked.teacher, asked.student))
    labels = [index % len(teacher.classes) for index in range(asked.images)]
    seeds = list(range(asked.images))

    def drawn(sampler: str, steps: int) -> torch.Tensor:
        run, scale = (student, 1.0) if sampler == "jump" else (teacher, asked.guidance)
        guidance = {"type": "constant", "scale": scale}
        return run.sample(labels=labels, seeds=seeds, sampler=sampler, steps=steps, guidance=guidance)

    wanted = drawn("heun", 30)
    columns = {"heun 30": wanted[:SHOWN]}
    print("| sampler | steps a stage | difference |\n|---|---:|---:|")
    for sampler, steps in ROWS:
        images = drawn(sampler, steps)
        print(f"| {sampler} | {steps} | {(images - wanted).square().mean().sqrt():.4f} |", flush=True)
        if sampler in ("midpoint", "jump"):
            columns[f"{sampler} {steps}"] = images[:SHOWN]
    names = [teacher.classes[label] for label in labels[:SHOWN]]
    write_png(asked.out, filmstrip(list(columns.values()), list(columns), rows=names, cell=80))


if __name__ == "__main__":
    try:
        main()
    except PixelflowError as error:
        sys.exit(str(error))
