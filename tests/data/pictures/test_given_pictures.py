"""Pictures as callers in Python have them: the same pixels as from a file, and clear words for anything else."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.base.errors import DataError
from data.pictures.given_pictures import given

PIXELS = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)


def decoded(picture: object) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(given(picture).content)).convert("RGB"))


@pytest.mark.parametrize(
    "picture",
    [
        PIXELS,
        PIXELS[::-1][::-1],
        np.asfortranarray(PIXELS),
        Image.fromarray(PIXELS),
        Image.fromarray(PIXELS).convert("RGBA"),
    ],
)
def test_every_pixel_is_kept(picture: object):
    assert np.array_equal(decoded(picture), PIXELS)


def test_grey_is_grey():
    grey = PIXELS[..., 0]
    for picture in (grey, Image.fromarray(grey)):
        assert np.array_equal(decoded(picture), np.repeat(grey[..., None], 3, 2))


def test_a_picture_that_lies_on_its_side_is_turned_as_its_file_is(tmp_path: Path):
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(PIXELS).save(tmp_path / "a.png", exif=turned)
    with Image.open(tmp_path / "a.png") as image:
        assert np.array_equal(decoded(image), np.rot90(PIXELS, -1))


@pytest.mark.parametrize("kind", ["1", "P", "CMYK", "YCbCr", "HSV", "LAB", "I;16", "I", "F", "LA"])
def test_every_mode_of_pillow_is_a_picture(kind: str):
    image = Image.new(kind, (8, 6)) if kind == "I;16" else Image.fromarray(PIXELS).convert("L").convert("RGB")
    if kind not in ("I;16", "LAB"):
        image = image.convert(kind)
    assert decoded(image).shape[2] == 3


def test_files_by_path_and_by_their_bytes(tmp_path: Path):
    path = tmp_path / "a.png"
    Image.fromarray(PIXELS).save(path)
    content = path.read_bytes()
    for picture in (path, str(path), content, bytearray(content), memoryview(content)):
        assert given(picture).content == content


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (None, "the picture is None; expected a path"),
        (7, "is of type int; expected a path"),
        (["a.jpg"], "is of type list; expected a path"),
        ("", "path is empty"),
        ("A" * 100_000, "has 100,000 characters, which is not a path"),
        ("A" * 300, "File name too long"),
        ("a\0b", "can't be read"),
        ("https://example.org/a.jpg", "is an address"),
        ("data:image/png;base64,AAAA", "is an address"),
        (".", "is a folder"),
        (PIXELS.astype(np.float32) / 255, "array of float32 (30, 40, 3); expected uint8"),
        (PIXELS.transpose(2, 0, 1), "(3, 30, 40); expected uint8 (H, W, 3) or (H, W); move the channels"),
        (PIXELS[None], "(1, 30, 40, 3); expected uint8 (H, W, 3) or (H, W); a batch"),
        (PIXELS[..., :2], "(30, 40, 2); expected uint8"),
        (PIXELS[:0], "(0, 40, 3); expected uint8"),
        (np.zeros(5, np.uint8), "(5,); expected uint8"),
        (
            np.broadcast_to(np.uint8(1), (20_000, 20_000)),
            "20000 x 20000 pixels; expected at most 100,000,000",
        ),
    ],
    ids=lambda value: str(value)[:20].replace("\0", "0") if isinstance(value, str) else type(value).__name__,
)
def test_anything_else_is_one_line(picture: object, message: str):
    with pytest.raises(DataError) as caught:
        given(picture)
    assert message in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_a_picture_of_pillows_whose_file_is_cut_short_is_one_line(tmp_path: Path):
    path = tmp_path / "a.jpg"
    Image.fromarray(PIXELS).save(path)
    path.write_bytes(path.read_bytes()[:800])
    with Image.open(path) as image, pytest.raises(DataError, match=r"the picture: .*truncated"):
        given(image)
