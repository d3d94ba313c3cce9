"""Images a second that one core reads from JPEG files of 500 x 375 pixels, at 256: python benchmarks/decoding.py

Ours (`image_folder`: decoded, resized, cropped, mirrored, a tensor) beside what Pillow and torchvision need at least:
to decode and to resize to 288, antialiased. Rounds take turns, and the best of each counts.
"""

from __future__ import annotations

import argparse
import io
import itertools
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from pixelflow.core import seeds
from pixelflow.data.image_folder import ImageFolder

COUNT, ROUNDS, SIDE = 100, 5, 256
SHORTER = int(1.125 * SIDE)


def pictures(folder: Path) -> list[Path]:
    """Photographs of scikit-learn, cut out of at different places: noise would take longer to decode."""
    from sklearn.datasets import load_sample_images

    photos = load_sample_images().images
    files = []
    for index in range(COUNT):
        photo = photos[index % len(photos)]
        left, top = index * 7 % 140, index * 5 % 52
        files.append(folder / "class" / f"{index:04d}.jpg")
        files[-1].parent.mkdir(exist_ok=True)
        Image.fromarray(np.ascontiguousarray(photo[top : top + 375, left : left + 500])).save(files[-1], quality=90)
    return files


def ours(folder: Path) -> Callable[[int], Any]:
    data = ImageFolder.Params(root=folder, flip=True).build(height=SIDE, width=SIDE, channels=3)
    return lambda index: data.sample(index, seeds.generator(0, "augment", 0, index))


def with_pillow(files: Sequence[Path], *, is_drafted: bool) -> Callable[[int], Any]:
    """Whole, or with libjpeg's own reduction to no less than twice the side, which is never reached here."""

    def read(index: int) -> Any:
        image = Image.open(io.BytesIO(files[index].read_bytes()))
        if is_drafted:
            image.draft("RGB", (SHORTER, SHORTER))
        return image.convert("RGB").resize((384, SHORTER), Image.Resampling.BICUBIC)

    return read


def with_torchvision(files: Sequence[Path]) -> Callable[[int], Any]:
    from torchvision.io import decode_jpeg  # its operators must fit this torch
    from torchvision.transforms.v2.functional import resize

    def read(index: int) -> Any:
        encoded = torch.frombuffer(bytearray(files[index].read_bytes()), dtype=torch.uint8)
        return resize(decode_jpeg(encoded), [SHORTER], interpolation=3, antialias=True)

    return read


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as below:
        files = pictures(Path(below))
        readers = {
            "image_folder": ours(Path(below)),
            "Pillow": with_pillow(files, is_drafted=False),
            "Pillow, reduced while decoding": with_pillow(files, is_drafted=True),
        }
        try:
            readers["torchvision"] = with_torchvision(files)
        except (ImportError, RuntimeError) as error:  # one that was built for another torch
            print(f"torchvision is not measured: {str(error).splitlines()[0]}")
        best = dict.fromkeys(readers, 0.0)
        for name, read in itertools.chain.from_iterable([readers.items()] * ROUNDS):
            began = time.process_time()
            for index in range(COUNT):
                read(index)
            best[name] = max(best[name], COUNT / (time.process_time() - began))
    for name, rate in best.items():
        print(f"{name}: {rate:.0f} images a second a core, {rate / best['image_folder']:.2f} of ours")


if __name__ == "__main__":
    main()
