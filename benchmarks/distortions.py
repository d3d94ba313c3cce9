"""What a Frechet distance means: real images, distorted, against others: python benchmarks/distortions.py [FOLDER]

FOLDER (by default data/cifar10/train) has one folder of images for each class. Of a seeded choice without overlap,
--real images are the reference, and --images are measured as they are and distorted. Prints a table; a distance that is
called good should be seen beside it.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter

from pixelflow.core.interfaces import Extractor
from pixelflow.metrics.distances import frechet
from pixelflow.metrics.efficientnet import EfficientNetLite0
from pixelflow.metrics.random_conv import RandomConv

Picture = Image.Image
CPU = torch.device("cpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("data/cifar10/train"))
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--real", type=int, default=8000)
    options = parser.parse_args()
    files = sorted(file for file in options.folder.glob("*/*") if file.is_file())
    if not files:
        print(f"left out: {options.folder} holds no class folders of images")
        return
    order = np.random.default_rng(0).permutation(len(files))
    real, measured = order[: options.real], order[options.real :]
    extractors = [EfficientNetLite0.Params().build(device=CPU), RandomConv.Params().build(device=CPU)]
    reference = features(extractors, [files[index] for index in real], lambda picture: picture)
    print(f"{options.images} images against {options.real} others of {options.folder}\n")
    print("| images | efficientnet_lite0 | random_conv |\n|---|---:|---:|")
    first_classes = sorted({file.parent.name for file in files})[:5]
    for name, distort in DISTORTIONS.items():
        chosen = [files[index] for index in measured[: options.images]]
        if name == "half of the classes":
            chosen = [files[index] for index in measured if files[index].parent.name in first_classes][: options.images]
        found = features(extractors, chosen, distort)
        figures = [frechet(ours, theirs) for ours, theirs in zip(found, reference, strict=True)]
        print(f"| {name} | {figures[0]:.0f} | {figures[1]:.4f} |", flush=True)


def features(extractors: list[Extractor], files: list[Path], distort: Callable[[Picture], Picture]) -> list[np.ndarray]:
    """(n d) of each extractor, float64."""
    found: list[list[np.ndarray]] = [[] for _ in extractors]
    for start in range(0, len(files), 100):
        pictures = []
        for file in files[start : start + 100]:
            with Image.open(file) as opened:
                pictures.append(np.asarray(distort(opened.convert("RGB"))))
        images = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2) / 127.5 - 1
        with torch.no_grad():
            for extractor, rows in zip(extractors, found, strict=True):
                rows.append(extractor.features(images).numpy().astype(np.float64))
    return [np.concatenate(rows) for rows in found]


def blurred(radius: float) -> Callable[[Picture], Picture]:
    return lambda picture: picture.filter(ImageFilter.GaussianBlur(radius))


def noisy(deviation: float) -> Callable[[Picture], Picture]:
    rng = np.random.default_rng(1)

    def add(picture: Picture) -> Picture:
        values = np.asarray(picture) + rng.normal(0, deviation, (*picture.size[::-1], 3))
        return Image.fromarray(values.round().clip(0, 255).astype(np.uint8))

    return add


def compressed(quality: int) -> Callable[[Picture], Picture]:
    def through_jpeg(picture: Picture) -> Picture:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=quality)
        return Image.open(file).convert("RGB")

    return through_jpeg


def blocky(side: int) -> Callable[[Picture], Picture]:
    def by_blocks(picture: Picture) -> Picture:
        small = picture.resize((picture.width // side, picture.height // side), Image.Resampling.BOX)
        return small.resize(picture.size, Image.Resampling.NEAREST)

    return by_blocks


DISTORTIONS: dict[str, Callable[[Picture], Picture]] = {
    "as they are": lambda picture: picture,
    "half of the classes": lambda picture: picture,
    "blur of half a pixel": blurred(0.5),
    "blur of one pixel": blurred(1.0),
    "blur of two pixels": blurred(2.0),
    "noise of 5 of 255": noisy(5),
    "noise of 20 of 255": noisy(20),
    "JPEG of quality 50": compressed(50),
    "JPEG of quality 10": compressed(10),
    "averaged over 2 x 2": blocky(2),
    "averaged over 4 x 4": blocky(4),
}


if __name__ == "__main__":
    main()
