"""Pictures that cost as much to decode as COCO's."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

DIFFERENT = 64


def photograph(
    number: int, width: int = 640, height: int = 480, *, quality: int = 90, grain: float = 0
) -> bytes:
    """A JPEG that costs as much to decode as a COCO picture: soft noise on several scales, about 70 kB.

    grain: the deviation of a noise of each pixel, of 255, which makes more bytes of it.
    """
    random = np.random.default_rng(number)
    canvas = np.zeros((height, width, 3), np.float32)
    for scale, weight in ((4, 40), (16, 60), (64, 90)):
        small = random.random((height // scale + 2, width // scale + 2, 3), dtype=np.float32)
        for channel in range(3):
            layer = Image.fromarray(small[..., channel]).resize((width, height), Image.Resampling.BICUBIC)
            canvas[..., channel] += weight * np.asarray(layer)
    if grain:
        canvas += grain * random.standard_normal((height, width, 1), np.float32)
    buffer = io.BytesIO()
    Image.fromarray(canvas.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def make_zip(path: Path, count: int, width: int = 640, height: int = 480) -> Path:
    """`count` pictures, 64 of them different, stored in a zip as COCO's are."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in _named(count, width, height):
            archive.writestr(f"pictures/{name}", content)
    return path


def make_folder(path: Path, count: int, width: int = 640, height: int = 480) -> Path:
    """The same pictures in a folder of their own."""
    path.mkdir()
    for name, content in _named(count, width, height):
        (path / name).write_bytes(content)
    return path


def _named(count: int, width: int, height: int) -> Iterator[tuple[str, bytes]]:
    contents = [photograph(number, width, height) for number in range(min(count, DIFFERENT))]
    for number in range(count):
        yield f"{number:06}.jpg", contents[number % len(contents)]
