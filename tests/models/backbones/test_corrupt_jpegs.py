"""JPEGs whose scan is corrupt are refused by what libjpeg warns of; its other warnings change nothing."""

from __future__ import annotations

import base64
import io
import random

import numpy as np
import pytest
import torch
from PIL import Image

from models.backbones.decoding import PictureError, decode

KINDS = {
    "baseline": {},
    "full colour": {"subsampling": 0, "quality": 95},
    "own tables": {"optimize": True},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_rows": 1},
    "grey": {"mode": "L"},
    "cmyk": {"mode": "CMYK"},
}
REFUSED = r"^damaged: (Corrupt JPEG data|Premature end of JPEG file)"

# An 8 x 8 grey ramp by `cjpeg -arithmetic`, which Pillow can't write.
ARITHMETIC = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAMCAgMCAgMDAwMEAwMEBQgFBQQEBQoHBwYIDAoMDAsKCwsNDhIQDQ4RDgsLEBYQERMUFRUVDA8XGBYU"
    "GBIUFRT/yQALCAAIAAgBAREA/8wABgAQEAX/2gAIAQEAAD8A/wCTF+Jsk55zJSHcEcD/2Q=="
)


def jpeg(mode: str = "RGB", **options: object) -> bytes:
    """A picture with fine detail everywhere, so that every part of the scan codes some of it."""
    rows, columns = np.mgrid[0:160, 0:240]
    detail = np.random.default_rng(0).integers(0, 64, (160, 240))
    channels = (rows + detail, columns * 0.7 + detail, (rows + columns) / 3 + detail)
    file = io.BytesIO()
    picture = Image.fromarray(np.stack(channels, -1).clip(0, 255).astype(np.uint8)).convert(mode)
    picture.save(file, "JPEG", **options)
    return file.getvalue()


def scan(content: bytes) -> tuple[int, int]:
    """Where the first scan's data begins, and where the file's last marker."""
    at = content.index(b"\xff\xda")
    return at + 2 + int.from_bytes(content[at + 2 : at + 4], "big"), len(content) - 2


def noise(content: bytes, start: float, end: float, seed: int = 0) -> bytes:
    """Random bytes (none of them 0xFF, so no marker) in a part of the scan."""
    first, last = scan(content)
    begin, stop = (first + int(share * (last - first)) for share in (start, end))
    rng = random.Random(seed)
    return content[:begin] + bytes(rng.randrange(255) for _ in range(begin, stop)) + content[stop:]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", [(0, 1), (0.5, 1), (0.3, 0.6)])
def test_noise_in_the_scan_is_refused(
    kind: str, part: tuple[float, float], capfd: pytest.CaptureFixture[str]
) -> None:
    content = jpeg(**KINDS[kind])
    decode(content)
    for seed in range(5):
        with pytest.raises(PictureError, match=REFUSED):
            decode(noise(content, *part, seed))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", [0.1, 0.5, 0.95])
@pytest.mark.parametrize("ends", [True, False])
def test_a_scan_that_is_cut_short_is_refused_whether_or_not_it_says_that_it_ends(
    kind: str, part: float, ends: bool
) -> None:
    content = jpeg(**KINDS[kind])
    first, last = scan(content)
    with pytest.raises(PictureError, match=r"^damaged: "):
        decode(content[: first + int(part * (last - first))] + (b"\xff\xd9" if ends else b""))


@pytest.mark.parametrize("marker", [b"\xff\xd9", b"\xff\xd3", b"\xff\xc4", b"\xff\xe1", b"\xff\xda"])
def test_a_marker_in_the_middle_of_a_scan_is_refused(marker: bytes) -> None:
    content = jpeg()
    middle = sum(scan(content)) // 2
    with pytest.raises(PictureError):
        decode(content[:middle] + marker + content[middle + 2 :])


def test_restart_markers_that_are_wrong_or_gone_are_refused() -> None:
    content = jpeg(restart_marker_rows=1)
    third = content.index(b"\xff\xd2")
    decode(content)
    for other in (b"\xff\xd5", b"\xff\xd1", b"", b"\x00\x00"):
        with pytest.raises(PictureError, match=REFUSED):
            decode(content[:third] + other + content[third + 2 :])


def test_arithmetic_coding_is_decoded_and_its_damage_refused() -> None:
    ramp = np.add.outer(np.arange(8) * 20, np.arange(8) * 10)
    assert np.abs(decode(ARITHMETIC, 8).numpy() - ramp).max() <= 1
    first, _ = scan(ARITHMETIC)
    for rest in (b"", b"\7" * 40 + b"\xff\xd9"):
        with pytest.raises(PictureError, match=REFUSED):
            decode(ARITHMETIC[: first + 4] + rest)


def rare_subsampling() -> bytes:
    """Each colour with half the rows of grey: nothing in TurboJPEG's list, but in the standard."""
    content = bytearray(jpeg(subsampling=0))
    frame = content.index(b"\xff\xc0")
    for component, factors in enumerate((0x21, 0x21, 0x11)):
        content[frame + 11 + 3 * component] = factors
    return bytes(content)


def between_segments(content: bytes, junk: bytes) -> bytes:
    """Bytes that belong to no segment, behind the first one."""
    end = 4 + int.from_bytes(content[4:6], "big")
    return content[:end] + junk + content[end:]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("junk", [b"\0\0", b"no marker", b"\xff\xff\xff", b"\xff\0\xff\0"])
def test_bytes_between_the_segments_of_the_header_change_nothing(kind: str, junk: bytes) -> None:
    """Cameras leave some, and libjpeg passes over them with the very warning that noise in a scan gives."""
    content = jpeg(**KINDS[kind])
    assert torch.equal(decode(between_segments(content, junk)), decode(content))
    with pytest.raises(PictureError, match=REFUSED):
        decode(between_segments(noise(content, 0.3, 0.6), junk))


def test_what_else_libjpeg_warns_of_leaves_the_pixels_as_they_are() -> None:
    content = jpeg()
    unknown_revision = content[:11] + b"\x07" + content[12:]
    assert torch.equal(decode(unknown_revision), decode(content))
    assert torch.equal(decode(content + b"\0" * 99), decode(content))  # behind the end
    pillow = (
        Image.open(io.BytesIO(rare_subsampling()))
        .convert("RGB")
        .resize((224, 224), Image.Resampling.BILINEAR)
    )
    assert np.abs(decode(rare_subsampling()).permute(1, 2, 0).numpy() - np.asarray(pillow, int)).max() <= 1
