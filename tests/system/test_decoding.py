"""Good images of every kind come out right; bad ones are refused with a reason."""

from __future__ import annotations

import os
import zlib

import numpy as np
import pytest
from PIL import Image, features

from pixelflow.system import decoding
from tests.data.bad_images import BAD_IMAGES, chunk, encoded, noise


def read(tmp_path, content: bytes, channels: int = 3, side: int = 8) -> np.ndarray:
    path = tmp_path / "image.png"
    path.write_bytes(content)
    return np.asarray(decoding.read(path, channels, side))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", BAD_IMAGES)
def test_bad_images_are_refused_with_a_reason(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(BAD_IMAGES[name])
    with pytest.raises(decoding.UnreadableImageError, match=r"\w"):
        decoding.read(path, 3, 32)


def test_bad_images_are_many():
    assert len(BAD_IMAGES) >= 25


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_lossless_files_keep_their_pixels(tmp_path, kind):
    image = noise(16)
    assert np.array_equal(read(tmp_path, encoded(image, kind)), np.asarray(image))


@pytest.mark.parametrize(("kind", "settings"), [("JPEG", {"quality": 95}), ("WEBP", {"lossless": True}), ("GIF", {})])
def test_other_kinds_are_close(tmp_path, kind, settings):
    image = Image.new("RGB", (16, 16), (200, 100, 50))
    assert np.abs(read(tmp_path, encoded(image, kind, **settings)).astype(int) - (200, 100, 50)).max() <= 4


def test_transparency_shows_white(tmp_path):
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    veil = Image.new("LA", (4, 4), (0, 128))
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([255, 0, 0, 0, 255, 0])
    assert (read(tmp_path, encoded(clear, "PNG")) == 255).all()
    assert (np.abs(read(tmp_path, encoded(veil, "PNG")).astype(int) - 127) <= 1).all()
    assert (read(tmp_path, encoded(palette, "PNG", transparency=0)) == 255).all()
    assert read(tmp_path, encoded(palette, "PNG"))[0, 0].tolist() == [255, 0, 0]


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    ramp = np.array([[0, 257, 0x8080, 65535]], dtype=np.uint16)
    assert read(tmp_path, encoded(Image.fromarray(ramp), "PNG"), channels=1).tolist() == [[0, 1, 128, 255]]


def test_cmyk_and_one_bit(tmp_path):
    red = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    assert np.abs(read(tmp_path, encoded(red, "JPEG", quality=100))[0, 0].astype(int) - (255, 0, 0)).max() <= 3
    assert (read(tmp_path, encoded(Image.new("1", (4, 4), 1), "PNG")) == 255).all()


def test_orientation_of_cameras_is_followed(tmp_path):
    image = Image.new("RGB", (12, 6), "black")
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encoded(image, "JPEG", exif=exif)
    assert read(tmp_path, content).shape == (12, 6, 3)
    assert decoding.shape(tmp_path / "image.png") == (3, 12, 6)


def test_the_first_frame_counts(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert read(tmp_path, content)[0, 0].tolist() == [255, 0, 0]


def test_large_jpegs_are_reduced_while_decoding_but_not_below_twice_the_side(tmp_path):
    content = encoded(Image.new("RGB", (640, 480)), "JPEG")
    height, width, _ = read(tmp_path, content, side=32).shape
    assert 64 <= height < 480
    assert 64 <= width < 640


@pytest.mark.parametrize(
    ("suffix", "settings"),
    [(".jfif", {}), (".jp2", {}), (".ppm", {}), (".tga", {}), (".avif", {"quality": 95}),
     (".ico", {"sizes": [(16, 16)]}),
     (".pcx", {}), (".sgi", {}), (".dib", {}), (".qoi", {}), (".PNG", {}), (".j2k", {}), (".apng", {})],
)  # fmt: skip
def test_what_pillow_reads_is_read(tmp_path, suffix, settings):
    path = tmp_path / f"a{suffix}"
    if suffix == ".avif" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    kind = Image.registered_extensions()[suffix.lower()]
    if kind not in Image.SAVE:
        pytest.skip(f"this Pillow writes no {suffix}")
    Image.new("RGB", (16, 16), (200, 100, 50)).save(path, format=kind, **settings)
    assert decoding.is_picture(path.name)
    assert np.abs(np.asarray(decoding.read(path, 3, 16)).astype(int) - (200, 100, 50)).max() <= 6
    assert decoding.shape(path) == (3, 16, 16)
    with path.open("rb") as content:
        assert decoding.shape(content, path.name) == (3, 16, 16)


def test_programs_documents_and_video_are_no_pictures():
    for name in ("a.eps", "a.ps", "a.pdf", "a.mpg", "a.wmf", "a.emf", "a.h5", "a.fits", "a.txt", "a.svg", "png", "a"):
        assert not decoding.is_picture(name), name


def test_rare_decoders_are_reached_by_their_own_names_alone(tmp_path):
    Image.new("RGB", (8, 8), "red").save(tmp_path / "a.tga")
    (tmp_path / "a.tga").rename(tmp_path / "a.jpg")
    with pytest.raises(decoding.UnreadableImageError, match="not an image of a known format"):
        decoding.read(tmp_path / "a.jpg", 3, 8)


@pytest.mark.parametrize(
    "texts",
    [
        [chunk(b"zTXt", b"note\0\0" + zlib.compress(bytes(1 << 27)))],
        [chunk(b"iTXt", b"note\0\1\0\0\0" + zlib.compress(b"x" * (1 << 22)))],
        [chunk(b"tEXt", b"note\0" + b"x" * (1 << 20))] * 70,
        [chunk(b"iCCP", b"profile\0\0" + zlib.compress(bytes(1 << 22)))],
    ],
    ids=["packed", "international", "many", "colour profile"],
)
@pytest.mark.parametrize("place", ["before the pixels", "behind them"])
def test_a_png_with_any_amount_of_text_is_a_picture(tmp_path, texts, place):
    content = encoded(noise(16), "PNG")
    cut = content.index(b"IDAT" if place == "before the pixels" else b"IEND") - 4
    (tmp_path / "a.png").write_bytes(content[:cut] + b"".join(texts) + content[cut:])
    assert np.array_equal(np.asarray(decoding.read(tmp_path / "a.png", 3, 16)), np.asarray(noise(16)))
    assert decoding.shape(tmp_path / "a.png") == (3, 16, 16)


def test_sixteen_bit_maps(tmp_path):
    (tmp_path / "a.pgm").write_bytes(b"P5 4 1 65535\n" + np.array([0, 257, 0x8080, 65535], ">u2").tobytes())
    assert np.asarray(decoding.read(tmp_path / "a.pgm", 1, 4)).tolist() == [[0, 1, 128, 255]]


def test_transparency_shows_the_ground(tmp_path):
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "a.png")
    assert np.asarray(decoding.read(tmp_path / "a.png", 3, 4, "#102030"))[0, 0].tolist() == [16, 32, 48]


def test_pipes_and_huge_files_are_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(decoding.UnreadableImageError, match="no plain file"):
        decoding.read(tmp_path / "pipe.png", 3, 8)
    with (tmp_path / "huge.webp").open("wb") as file:
        file.truncate(1 << 33)
    with pytest.raises(decoding.UnreadableImageError, match="larger than 268435456 bytes"):
        decoding.read(tmp_path / "huge.webp", 3, 8)


def test_a_reason_is_one_line_about_the_file(tmp_path):
    with pytest.raises(decoding.UnreadableImageError, match="No such file"):
        decoding.read(tmp_path / "gone.png", 3, 8)
    (tmp_path / "bomb.png").write_bytes(BAD_IMAGES["large.png"])
    with pytest.raises(decoding.UnreadableImageError, match=r"more than \d+ pixels"):
        decoding.read(tmp_path / "bomb.png", 3, 8)
