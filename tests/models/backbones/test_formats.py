"""Every format that counts as a picture is decoded; every other that Pillow knows is left out for a reason."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import pytest
from PIL import Image

from data.base.picture_limits import EXTENSIONS, FORMATS, PICTURES, unread_by_content, unread_by_name
from data.pictures.thumbnails import thumbnail
from models.backbones.decoding import PictureError, decode

LEFT_OUT = {
    **dict.fromkeys((".eps", ".ps"), "runs a program"),
    **dict.fromkeys((".bufr", ".grib", ".h5", ".hdf", ".mpg", ".mpeg", ".wmf", ".emf"), "is only recognised"),
    **dict.fromkeys((".pdf", ".palm"), "is only written"),
    **dict.fromkeys((".fit", ".fits", ".pfm"), "holds measurements"),
    **dict.fromkeys((".dds", ".blp", ".ftc", ".ftu"), "is decoded in Python"),
    **dict.fromkeys((".fli", ".flc", ".gbr", ".pcd", ".pxr", ".iim"), "could not be tried"),
}
SIZE = (32, 20)


def scene(mode: str = "RGB") -> Image.Image:
    picture = Image.new("RGB", SIZE, (200, 40, 40))
    picture.paste((30, 60, 220), (16, 0, 32, 20))
    return picture.convert(mode)


def saved(kind: str, mode: str = "RGB", **options: object) -> bytes:
    file = io.BytesIO()
    scene(mode).save(file, kind, **options)
    return file.getvalue()


def icon(body: bytes, kind: int = 1, size: tuple[int, int] = SIZE) -> bytes:
    return struct.pack("<3H4B2H2L", 0, kind, 1, *size, 0, 0, 1, 24, len(body), 22) + body


def cursor() -> bytes:
    """A bitmap twice as high as the picture, the lower half of it a mask."""
    bits = bytearray(saved("DIB"))
    struct.pack_into("<l", bits, 8, 2 * SIZE[1])
    return icon(bytes(bits) + bytes(4 * SIZE[1]), 2)


def sun() -> bytes:
    pixels = scene().tobytes()
    return struct.pack(">8L", 0x59A66A95, *SIZE, 24, len(pixels), 3, 0, 0) + pixels


def photoshop() -> bytes:
    planes = b"".join(plane.tobytes() for plane in scene().split())
    return b"8BPS" + struct.pack(">H6xHLLHH", 1, 3, SIZE[1], SIZE[0], 8, 3) + bytes(12) + b"\0\0" + planes


def xpm() -> bytes:
    rows = ",\n".join('"' + "r" * 16 + "b" * 16 + '"' for _ in range(SIZE[1]))
    colours = '"r c #C82828",\n"b c #1E3CDC"'
    return f'/* XPM */\nstatic char *a[] = {{\n"32 20 2 1",\n{colours},\n{rows}\n}};\n'.encode()


MADE: dict[str, Callable[[], bytes]] = {
    "CUR": cursor,
    "SUN": sun,
    "PSD": photoshop,
    "XPM": xpm,
    "DCX": lambda: struct.pack("<3L", 987654321, 12, 0) + saved("PCX"),
    "ICO": lambda: icon(saved("PNG")),
    "MSP": lambda: saved("MSP", "1"),
    "XBM": lambda: saved("XBM", "1"),
    "ICNS": lambda: saved("ICNS"),
}


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_decoded(kind):
    content = MADE.get(kind, lambda: saved(kind))()
    pixels = decode(content, 8).float()
    left, right = pixels[:, :, 1:3].mean((1, 2)).tolist(), pixels[:, :, 5:7].mean((1, 2)).tolist()
    if kind in ("MSP", "XBM"):  # black and white, dithered
        assert left[0] < 256 and left[0] == left[1] == left[2]
    else:
        assert left == pytest.approx([200, 40, 40], abs=20) and right == pytest.approx([30, 60, 220], abs=20)
    assert thumbnail(content, 16) is not None


def test_every_ending_that_pillow_knows_counts_or_is_left_out_for_a_reason():
    Image.init()
    known = set(Image.registered_extensions())
    assert known - PICTURES <= LEFT_OUT.keys() and not PICTURES & LEFT_OUT.keys()
    assert known >= PICTURES and set(FORMATS) <= set(Image.OPEN)
    for kind, endings in EXTENSIONS.items():
        assert all(Image.registered_extensions()[ending] in (kind, "MPO", "DIB") for ending in endings)
    assert {"EPS", "WMF"}.isdisjoint(FORMATS) and {
        ".jfif",
        ".jpe",
        ".ppm",
        ".pgm",
        ".jp2",
        ".tga",
    } <= PICTURES


def ftyp(brand: bytes) -> bytes:
    return b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1" + brand


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (ftyp(b"heic"), "HEIC"),
        (ftyp(b"mif1"), "HEIC"),
        (ftyp(b"isom"), "a video"),
        (b"\xff\x0a\xfa\x7f", "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"%PDF-1.7\n", "PDF"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "PostScript"),
        (b'\n<svg xmlns="http://www.w3.org/2000/svg">', "SVG"),
        (b"\x1aE\xdf\xa3\x9fB\x86\x81\x01", "a video"),
    ],
)
def test_a_known_format_under_a_picture_s_name_is_told_with_what_to_do(content, kind):
    with pytest.raises(
        PictureError, match=f"^it is {kind}, whatever its name says, and not decoded.*convert it to JPEG$"
    ):
        decode(content + bytes(100))


def test_what_is_known_of_a_format_by_its_name_is_of_none_that_is_decoded():
    assert unread_by_name(".HEIC") == "HEIC" and unread_by_name(".nef") == "a camera's raw format"
    assert not any(map(unread_by_name, [*PICTURES, ".txt", ""]))
    assert not any(
        unread_by_content(MADE.get(kind, lambda k=kind: saved(k))()[:64])
        for kind in FORMATS
        if kind != "AVIF"
    )


@pytest.mark.parametrize("kind", ["ICO", "ICNS"])
def test_an_icon_with_an_absurd_picture_inside_is_refused(kind):
    """Its own header says 16 x 16."""
    header = struct.pack(">IIBBBBB", 10_100, 10_000, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n"
    for name, body in ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")):
        png += struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    holder = {
        "ICO": icon(png, size=(16, 16)),
        "ICNS": b"icns" + struct.pack(">I", len(png) + 16) + b"ic07" + struct.pack(">I", len(png) + 8) + png,
    }
    with pytest.raises(PictureError, match="more than 100,000,000 pixels"):
        decode(holder[kind])
    assert thumbnail(holder[kind], 16) is None
