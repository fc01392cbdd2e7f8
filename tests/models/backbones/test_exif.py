"""Whatever an EXIF block holds, the pixels beside it are used; an orientation that can't be read is none."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from data.pictures.thumbnails import thumbnail
from models.backbones.decoding import decode

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # as data.base.orientation does in a run
SIDE = 16
PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))


def saved(kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    PICTURE.save(buffer, kind, **options)
    return buffer.getvalue()


def png_chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(block: bytes) -> bytes:
    whole = saved("PNG")
    return whole[:33] + png_chunk(b"eXIf", block) + whole[33:]


def png_at_the_end(block: bytes) -> bytes:
    whole = saved("PNG")
    return whole[:-12] + png_chunk(b"eXIf", block) + whole[-12:]


def png_profile(block: bytes) -> bytes:
    """As text, in the manner of ImageMagick."""
    text = b"\nexif\n%8d\n%s\n" % (len(block), block.hex().encode())
    whole = saved("PNG")
    return whole[:33] + png_chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text)) + whole[33:]


def webp(block: bytes) -> bytes:
    return saved("WEBP", lossless=True, exif=block or b"\0")


def jpeg(block: bytes) -> bytes:
    whole, segment = saved("JPEG", quality=95), b"Exif\0\0" + block
    return whole[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + whole[2:]


def tiff(block: bytes) -> bytes:
    """A TIFF's own directory, one entry longer, at the end: it points to the block as EXIF's."""
    whole = bytearray(saved("TIFF"))
    [old] = struct.unpack("<I", whole[4:8])
    [count] = struct.unpack("<H", whole[old : old + 2])
    entries = whole[old + 2 : old + 2 + 12 * count]
    after = len(whole) + 2 + 12 * (count + 1) + 4
    whole[4:8] = struct.pack("<I", len(whole))
    entry = struct.pack("<HHII", 0x8769, 4, 1, after)
    return bytes(whole + struct.pack("<H", count + 1) + entries + entry + bytes(4) + block)


KINDS = (png, png_at_the_end, png_profile, webp, jpeg, tiff)
TURNED = struct.pack(">2sHIHHHIHHI", b"MM", 42, 8, 1, 0x0112, 3, 1, 6, 0, 0)  # a sound block: orientation 6
SOUND_EXIF = Image.Exif()
SOUND_EXIF[0x0112], SOUND_EXIF[0x010E], SOUND_EXIF[0x8769] = 6, "a text", {0x9286: b"hello"}


def pixels(content: bytes) -> list[int]:
    """All values in order of size: no turn changes them."""
    values: list[int] = decode(content, SIDE).flatten().sort().values.tolist()
    return values


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(
    block=st.binary(max_size=60)
    | st.integers(0, len(SOUND_EXIF.tobytes())).map(lambda end: SOUND_EXIF.tobytes()[6:end])
    | st.binary(max_size=24).map(lambda end: b"II*\0\x08\0\0\0" + end)
)
@example(block=b"\0\x08\0\2\1\x12\0\3")
@example(block=b"MM\0*\0\0\0\x08\0\1\x01\x12\0\3\xff\xff\xff\xff\0\6\0\0")
def test_sound_pixels_are_used_whatever_the_block_holds(kind: Callable[[bytes], bytes], block: bytes) -> None:
    assert pixels(kind(block)) == pixels(kind(TURNED))
    assert thumbnail(kind(block), SIDE)


@pytest.mark.parametrize("kind", [png, png_at_the_end, png_profile, webp])
def test_an_orientation_that_can_be_read_counts(kind: Callable[[bytes], bytes]) -> None:
    upright = np.rot90(np.asarray(PICTURE), -1)
    assert np.array_equal(decode(kind(TURNED), SIDE).permute(1, 2, 0).numpy(), upright)


@pytest.mark.parametrize("stated", range(1, 9))
def test_thumbnails_turn_as_pillow_does(stated: int) -> None:
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = stated
    content = saved("PNG", exif=exif)
    with Image.open(io.BytesIO(content)) as picture:
        expected = ImageOps.exif_transpose(picture).convert("RGB")
    buffer = io.BytesIO()
    expected.save(buffer, "JPEG", quality=80)
    assert thumbnail(content, SIDE) == buffer.getvalue()
