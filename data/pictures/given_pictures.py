"""A picture as a caller in Python may have it, as the bytes of a file: these are what is decoded."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps

from data.base.errors import DataError
from data.base.files import PICTURE_BYTES, read_plain
from data.base.picture_limits import MAX_PIXELS, MAX_SIDE

LONGEST = 1024  # characters of a path that an error repeats whole
EXPECTED = "a path, the bytes of a picture file, a PIL.Image, or a uint8 array (H, W, 3) or (H, W)"
_PLAIN = ("1", "L", "LA", "P", "RGB", "RGBA")  # modes of Pillow that PNG holds as they are
_DEEP = ("I", "F")  # of more than 8 bits: where their white is, decides who decodes the file
_TRANSPARENT = ("PA", "La", "RGBa")


class Given(NamedTuple):
    """The encoded bytes of a picture, and what errors call it."""

    name: str
    content: bytes


def given(picture: Any) -> Given:
    """The picture's path, its file's bytes, a PIL.Image, or a uint8 array (H, W, 3) or (H, W), encoded.

    DataError for anything else, and for a path that can't be read.
    """
    if isinstance(picture, Given):
        return picture
    if isinstance(picture, bytes | bytearray | memoryview):
        return Given("the picture", bytes(picture))
    if isinstance(picture, str | os.PathLike):
        return _read(os.fspath(picture))
    if isinstance(picture, Image.Image):
        return Given("the picture", _encoded(picture))
    if isinstance(picture, np.ndarray):
        return Given("the picture", _encoded(_of_array(picture)))
    raise DataError(f"the picture is {_kind(picture)}; expected {EXPECTED}")


def _read(path: str | bytes) -> Given:
    name = os.path.expanduser(os.fsdecode(path))
    if not name:
        raise DataError(f"the picture's path is empty; expected {EXPECTED}")
    if len(name) > LONGEST:
        raise DataError(
            f"the picture: {name[:40]}... has {len(name):,} characters, which is not a path; expected {EXPECTED}"
        )
    if name.partition("://")[0].lower() in ("http", "https", "data") or name.startswith("data:"):
        raise DataError(f"{name[:80]}: is an address, which is not fetched here; expected {EXPECTED}")
    return Given(name, read_plain(Path(name), PICTURE_BYTES))


def _of_array(array: np.ndarray[Any, Any]) -> Image.Image:
    grey, colours = array.ndim == 2, array.ndim == 3 and array.shape[2] == 3
    if array.dtype != np.uint8 or not (grey or colours) or not array.size:
        hint = "; a batch is asked about picture by picture" if array.ndim == 4 else ""
        hint = hint or "; move the channels to the end" if array.ndim == 3 and array.shape[0] == 3 else hint
        raise DataError(
            f"the picture is an array of {array.dtype} {array.shape}; expected uint8 (H, W, 3) or (H, W){hint}"
        )
    _check_size(array.shape[1], array.shape[0])
    return Image.fromarray(np.ascontiguousarray(array))


def _encoded(image: Image.Image) -> bytes:
    """Upright, as PNG or TIFF, which keep every pixel."""
    _check_size(*image.size)
    buffer = io.BytesIO()
    try:
        upright = _storable(ImageOps.exif_transpose(image))
        kind = "TIFF" if upright.mode in _DEEP else "PNG"
        upright.save(buffer, kind, compress_level=1)  # a PNG's
    except Exception as error:  # decoders of damaged files, which Pillow calls only now, raise anything
        raise DataError(f"the picture: {error}") from error
    return buffer.getvalue()


def _storable(image: Image.Image) -> Image.Image:
    """In a mode that a file can have, with all that decides how the picture looks."""
    if image.mode in (*_PLAIN, *_DEEP):
        return image
    if image.mode.startswith("I;16"):
        return image.convert("I")
    if image.mode in _TRANSPARENT:
        return image.convert("LA" if image.mode == "La" else "RGBA")
    return image.convert("RGB")


def _check_size(width: int, height: int) -> None:
    """DataError for what would be refused after it was encoded."""
    if not width or not height or width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise DataError(
            f"the picture: {width} x {height} pixels; expected at most {MAX_PIXELS:,}, and {MAX_SIDE:,} a side"
        )


def _kind(value: object) -> str:
    return "None" if value is None else f"of type {type(value).__name__}"
