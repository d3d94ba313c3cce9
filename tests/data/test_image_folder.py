"""Folders of real files: listing, labels, cropping, and what goes wrong with them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from pixelflow.core.interfaces import BadSample, Sample
from pixelflow.data.image_folder import ImageFolder, image_files, sizes_of
from pixelflow.system.errors import DataError, MissingInputError
from tests.data.bad_images import write_bad_images


def save(path: Path, width: int = 16, height: int = 16, colour: str = "red") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), colour).save(path)
    return path


def save_ramp(path: Path, width: int, height: int) -> Path:
    """Red grows from left to right, green from top to bottom."""
    red, green = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    Image.fromarray(np.stack([red, green, np.zeros_like(red)], -1).round().astype(np.uint8)).save(path)
    return path


def build(root: Path, height: int = 8, width: int = 8, channels: int = 3, **settings) -> ImageFolder:
    params = ImageFolder.Params(root=root, **settings)
    return ImageFolder(params, height=height, width=width, channels=channels)


def draw(dataset: ImageFolder, index: int = 0, seed: int = 0) -> torch.Tensor:
    sample = dataset.sample(index, torch.Generator().manual_seed(seed))
    assert isinstance(sample, Sample), sample
    return sample.image


def test_subfolders_are_classes_in_sorted_order(tmp_path):
    for name in ("b/1.png", "a/2.JPG", "a/deep/er/0.webp", "c/0.bmp", ".hidden/x.png", "a/.hidden.png"):
        save(tmp_path / name)
    (tmp_path / "empty").mkdir()
    (tmp_path / "a" / "notes.txt").write_text("not an image")
    dataset = build(tmp_path)
    assert dataset.classes == ("a", "b", "c")
    assert [dataset.sample(i, torch.Generator()).label for i in range(len(dataset))] == [0, 0, 1, 2]


def test_numbered_folders_sort_as_numbers(tmp_path):
    for name in ("10", "2", "0", "x"):
        save(tmp_path / name / "1.png")
    dataset = build(tmp_path)
    assert dataset.classes == ("0", "2", "10", "x")
    labels = {
        Path(file).parent.name: dataset.sample(i, torch.Generator()).label for i, file in enumerate(dataset.files)
    }
    assert labels == {"0": 0, "2": 1, "10": 2, "x": 3}


def test_a_flat_folder_has_no_labels(tmp_path):
    save(tmp_path / "a.png")
    save(tmp_path / "sub" / "b.png")
    dataset = build(tmp_path)
    assert (dataset.classes, len(dataset)) == ((), 2)
    assert dataset.sample(0, torch.Generator()).label is None


def test_labels_can_be_refused_and_insisted_on(tmp_path):
    save(tmp_path / "a" / "1.png")
    assert build(tmp_path, labels="none").classes == ()
    save(tmp_path / "loose.png")
    with pytest.raises(DataError, match=r"loose\.png: lies in no class subfolder"):
        build(tmp_path, labels="folder")


def test_a_missing_an_empty_and_a_wrong_root(tmp_path):
    with pytest.raises(MissingInputError, match=r"no such folder, relative to .*; set data\.root$"):
        build(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"holds no images .*; set data\.root$"):
        build(tmp_path)
    with pytest.raises(MissingInputError, match=r"not a folder that holds images; set data\.root$"):
        build(save(tmp_path / "a.png"))


def test_links_are_followed_and_loops_are_not(tmp_path):
    save(tmp_path / "data" / "a" / "1.png")
    save(tmp_path / "elsewhere" / "2.png")
    (tmp_path / "data" / "b").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "a" / "loop").symlink_to(tmp_path / "data")
    assert build(tmp_path / "data").classes == ("a", "b")
    assert len(build(tmp_path / "data")) == 2


def test_a_pipe_is_not_opened(tmp_path):
    save(tmp_path / "1.png")
    os.mkfifo(tmp_path / "2.png")
    assert len(build(tmp_path)) == 1


def test_an_image_of_the_right_size_is_read_exactly(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "1.png")
    image = draw(build(tmp_path, 8, 12, resize=1.0, flip=False))
    assert torch.equal(((image + 1) * 127.5).round().byte(), torch.from_numpy(pixels).permute(2, 0, 1))


def test_the_center_crop_keeps_the_middle_and_the_proportions(tmp_path):
    save_ramp(tmp_path / "1.png", width=96, height=48)
    red, green, _ = draw(build(tmp_path, 16, 16, resize=1.0, crop="center", flip=False))
    assert red.mean().abs() < 0.02
    assert green.mean().abs() < 0.02
    across, down = float((red[:, -1] - red[:, 0]).mean()), float((green[-1] - green[0]).mean())
    assert across == pytest.approx(down / 2, rel=0.1)


def test_random_crops_reach_both_ends_and_stay_inside(tmp_path):
    save_ramp(tmp_path / "1.png", width=64, height=32)
    dataset = build(tmp_path, 16, 16, resize=1.0, flip=False)
    lefts = [draw(dataset, seed=seed)[0, 0, 0].item() for seed in range(60)]
    assert min(lefts) < -0.9
    assert max(lefts) > -0.1
    assert max(draw(dataset, seed=seed)[0].max().item() for seed in range(60)) <= 1


def test_half_of_the_images_are_mirrored(tmp_path):
    save_ramp(tmp_path / "1.png", width=16, height=16)
    dataset = build(tmp_path, 16, 16, resize=1.0)
    mirrored = sum(bool(image[0, 0, 0] > image[0, 0, -1]) for image in (draw(dataset, seed=s) for s in range(100)))
    assert 30 < mirrored < 70


def test_grey_and_non_square(tmp_path):
    save(tmp_path / "1.png", 100, 30, "white")
    image = draw(build(tmp_path, 8, 24, channels=1))
    assert image.shape == (1, 8, 24)
    assert torch.allclose(image, torch.ones_like(image))


def test_plain_settings_have_no_chance_in_them(tmp_path):
    save_ramp(tmp_path / "1.png", 40, 30)
    dataset = ImageFolder(ImageFolder.Params(root=tmp_path).plain(), height=8, width=8, channels=3)
    assert torch.equal(draw(dataset, seed=1), draw(dataset, seed=2))


def test_bad_files_are_samples_that_say_what_is_wrong(tmp_path):
    bad = write_bad_images(tmp_path)
    dataset = build(tmp_path)
    samples = [dataset.sample(index, torch.Generator()) for index in range(len(dataset))]
    assert all(isinstance(sample, BadSample) for sample in samples)
    assert sorted(sample.where for sample in samples) == [str(path) for path in bad]


def test_sizes_are_looked_for_everywhere_and_until_one_can_be_read(tmp_path):
    (tmp_path / "0.png").write_bytes(b"")
    with pytest.raises(DataError, match="none of its images"):
        sizes_of(tmp_path, image_files(tmp_path), 10)
    save(tmp_path / "1.png", width=10, height=6)
    assert sizes_of(tmp_path, image_files(tmp_path), 1) == [(6, 10)]
    for index in range(2, 40):  # every other one is small: one in so many, taken by place, would see one size
        save(tmp_path / f"{index}.png", width=10 if index % 2 else 5, height=6)
    assert set(sizes_of(tmp_path, image_files(tmp_path), 20)) == {(6, 10), (6, 5)}


def test_folder_names_that_are_no_utf8_are_classes(tmp_path):
    for name in ("caf\udce9", "tea"):
        save(tmp_path / name / "1.png")
    dataset = build(tmp_path)
    assert dataset.classes == ("caf\\xe9", "tea")
    assert draw(dataset).shape == (3, 8, 8)
    assert dataset.fingerprint


def test_pictures_of_other_kinds_are_found_and_the_rest_is_counted(tmp_path):
    for name in ("a.jfif", "b.tga", "c.ppm", "d.PNG", "sub/e.jp2"):
        save(tmp_path / name)
    for name in ("1.pdf", "2.PDF", "sub/3.mp4", "notes", "caption.txt", ".DS_Store", "metadata.jsonl"):
        (tmp_path / name).write_bytes(b"x")
    os.mkfifo(tmp_path / "pipe.png")
    dataset = build(tmp_path)
    assert len(dataset) == 5
    assert all(isinstance(dataset.sample(index, torch.Generator()), Sample) for index in range(5))
    assert dataset.left_out == {
        ".pdf": 2,
        ".mp4": 1,
        "without a suffix": 1,
        ".txt": 1,
        "hidden": 1,
        "pipe or device": 1,
    }


def test_names_that_are_no_utf8(tmp_path):
    odd = os.fsdecode(b"caf\xe9")
    for name in ("one", odd):
        save(tmp_path / name / "1.png")
    save(tmp_path / odd / f"{odd}.png")
    (tmp_path / odd / "bad.png").write_bytes(b"no image")
    dataset = build(tmp_path)
    assert dataset.classes == (r"caf\xe9", "one")
    samples = [dataset.sample(index, torch.Generator()) for index in range(4)]
    assert [sample.label for sample in samples if isinstance(sample, Sample)] == [0, 0, 1]
    assert [sample.where.encode() for sample in samples if isinstance(sample, BadSample)]
    assert dataset.fingerprint


def test_the_sizes_of_some_pictures_are_surveyed_by_their_headers(tmp_path):
    for index in range(9):
        save(tmp_path / f"{index}.png", 16 if index % 2 else 20, 12)
    (tmp_path / "9.png").write_bytes(b"no image")
    survey = build(tmp_path).survey(100)
    assert (survey.looked_at, dict(survey.sizes)) == (10, {(12, 20): 5, (12, 16): 4})
    assert build(tmp_path).survey(3).looked_at == 3


def test_the_ground_of_transparent_pictures(tmp_path):
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(tmp_path / "a.png")
    assert draw(build(tmp_path)).min() == 1
    assert draw(build(tmp_path, ground="black")).max() == -1
    with pytest.raises(ValidationError, match="'no colour' is no colour"):
        build(tmp_path, ground="no colour")


def test_a_picture_that_is_a_link_to_itself_is_an_unreadable_one(tmp_path):
    from pixelflow.data.listing import listed

    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "loop").symlink_to("loop")
    assert listed(tmp_path, "").images == ["a.png", "loop.png"]
