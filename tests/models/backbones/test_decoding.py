"""Every kind of picture file becomes the right upright RGB pixels, and what is not a picture says why."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from data.pictures.given_pictures import given
from models.backbones import decoding
from models.backbones.decoding import PictureError, decode

PHOTOS = sorted((Path(__file__).parents[3].parent / "shared" / "data" / "coco_photos").glob("*.jpg"))
pytestmark = pytest.mark.filterwarnings("ignore:Image size:PIL.Image.DecompressionBombWarning")
photographs = pytest.mark.skipif(not PHOTOS, reason="the real photographs are not on this machine")


def scene(width: int = 320, height: int = 240) -> Image.Image:
    """A picture that looks different under every rotation and mirroring, without hard edges."""
    rows, columns = np.mgrid[0:height, 0:width]
    channels = (255 * columns / width, 255 * rows / height, 255 * (1 - columns / width) * (1 - rows / height))
    return Image.fromarray(np.stack(channels, -1).astype(np.uint8))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def pillow(image: Image.Image, size: int = 224) -> Tensor:
    """What Pillow's own antialiased bilinear makes of an RGB picture."""
    return torch.from_numpy(np.array(image.resize((size, size), Image.Resampling.BILINEAR))).permute(2, 0, 1)


def difference(first: Tensor, second: Tensor) -> int:
    return int((first.int() - second.int()).abs().max())


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "WEBP"])
def test_lossless_formats_give_the_pixels_of_pillow(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    pixels = decode(encoded(scene(), kind, **options))
    assert pixels.dtype == torch.uint8 and pixels.shape == (3, 224, 224) and pixels.is_contiguous()
    assert difference(pixels, pillow(scene())) <= 1


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"optimize": True}])
def test_jpeg_variants(options: dict[str, object]) -> None:
    data = encoded(scene(), "JPEG", quality=95, **options)
    assert difference(decode(data), pillow(Image.open(io.BytesIO(data)))) <= 1


@photographs
@pytest.mark.parametrize("path", PHOTOS, ids=lambda path: path.stem[-6:])
def test_real_photographs_are_within_one_level_of_pillow(path: Path) -> None:
    data = path.read_bytes()
    assert difference(decode(data), pillow(Image.open(path).convert("RGB"))) <= 1


@photographs
def test_both_jpeg_decoders_give_the_same_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    contents = [path.read_bytes() for path in PHOTOS]
    ours = [decode(data) for data in contents]
    monkeypatch.setattr(decoding, "_jpeg", lambda data, image: decoding._other(image))
    assert all(torch.equal(pixels, decode(data)) for pixels, data in zip(ours, contents, strict=True))


def test_greyscale_has_three_equal_channels() -> None:
    grey = scene().convert("L")
    for kind in ("JPEG", "PNG"):
        pixels = decode(encoded(grey, kind))
        assert torch.equal(pixels[0], pixels[1]) and torch.equal(pixels[0], pixels[2])
        assert difference(pixels, pillow(grey.convert("RGB"))) <= 4


def test_palette_and_bilevel() -> None:
    palette = scene().convert("P", palette=Image.Palette.ADAPTIVE)
    assert difference(decode(encoded(palette, "PNG")), pillow(palette.convert("RGB"))) <= 1
    assert difference(decode(encoded(palette, "GIF")), pillow(palette.convert("RGB"))) <= 1
    bilevel = scene().convert("1")
    assert difference(decode(encoded(bilevel, "PNG")), pillow(bilevel.convert("RGB"))) <= 1


def test_transparency_is_laid_over_white() -> None:
    clear = Image.new("RGBA", (60, 40), (255, 0, 0, 0))
    assert decode(encoded(clear, "PNG")).min() == 255
    half = Image.new("RGBA", (60, 40), (0, 0, 0, 128))
    assert set(decode(encoded(half, "PNG")).unique().tolist()) == {127}
    grey = Image.new("LA", (60, 40), (0, 0))
    assert decode(encoded(grey, "PNG")).min() == 255
    palette = Image.new("P", (60, 40), 3)
    palette.putpalette([0] * 768)
    assert decode(encoded(palette, "PNG", transparency=3)).min() == 255


def test_sixteen_bits_keep_their_upper_byte() -> None:
    ramp = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
    pixels = decode(encoded(Image.fromarray(ramp), "PNG"), 64)
    assert difference(pixels[0], torch.from_numpy((ramp >> 8).astype(np.int32))) <= 1


def test_cmyk_jpeg_looks_like_the_rgb_one() -> None:
    image = scene()
    pixels = decode(encoded(image.convert("CMYK"), "JPEG", quality=95))
    assert (pixels.float() - pillow(image).float()).abs().mean() < 3


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(kind: str, orientation: int) -> None:
    undo = {
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90],  # each is the inverse of what EXIF asks a viewer to do
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }
    stored = scene()
    for step in undo.get(orientation, []):
        stored = stored.transpose(step)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {}
    assert difference(decode(encoded(stored, kind, exif=exif, **options)), pillow(scene())) <= 8


def test_an_animation_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode(data)[:, 0, 0].tolist() == [255, 0, 0]


def test_any_proportion_and_size() -> None:
    for width, height in ((1, 1), (1, 500), (2000, 3), (224, 224)):
        assert decode(encoded(scene(width, height), "PNG"), 64).shape == (3, 64, 64)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_truncated_picture_is_refused(kind: str, part: float) -> None:
    data = encoded(scene(), kind)
    with pytest.raises(PictureError):
        decode(data[: int(len(data) * part)])


def test_what_is_no_picture_is_refused_with_its_beginning() -> None:
    with pytest.raises(PictureError, match="empty"):
        decode(b"")
    with pytest.raises(PictureError, match="Not Found"):
        decode(b"404 Not Found: this is what a broken download saves as .jpg")


def test_an_absurdly_large_picture_is_refused_by_its_header() -> None:
    header = encoded(Image.new("1", (8, 8)), "PNG")
    size = (60_000).to_bytes(4, "big") * 2
    chunk = b"IHDR" + size + header[24:29]
    bomb = header[:12] + chunk + zlib.crc32(chunk).to_bytes(4, "big") + header[33:]
    with pytest.raises(PictureError, match="pixels"):
        decode(bomb)
    with pytest.raises(PictureError, match="pixels"):
        decode(encoded(Image.new("1", (11_000, 10_000)), "PNG"))


def test_floating_point_pixels_are_refused() -> None:
    with pytest.raises(PictureError, match="floating-point"):
        decode(encoded(Image.new("F", (8, 8)), "TIFF"))


@pytest.mark.parametrize(
    ("mode", "kind"), [("I;16", "<u2"), ("I;16B", ">u2"), ("I;16L", "<u2"), ("I", "<i4")]
)
def test_a_pil_image_of_sixteen_bits_is_decoded_as_its_file_is(mode: str, kind: str) -> None:
    grey = np.linspace(0, 65535, 20 * 30).astype(int).reshape(20, 30)
    image = Image.frombytes(mode, (30, 20), grey.astype(kind).tobytes())
    upper = Image.fromarray((grey >> 8).astype(np.uint8))
    assert decode(given(image).content).equal(decode(encoded(upper, "PNG")))


@pytest.mark.parametrize("mode", ["PA", "La", "RGBa"])
def test_a_transparent_pil_image_is_laid_over_white(mode: str) -> None:
    clear = Image.new("LA" if mode == "La" else "RGBA", (30, 20))  # black, of which nothing is seen
    assert int(decode(given(clear.convert(mode)).content).min()) == 255


def test_a_pil_image_of_floating_point_pixels_is_refused() -> None:
    with pytest.raises(PictureError, match="floating-point"):
        decode(given(Image.new("F", (8, 8))).content)
