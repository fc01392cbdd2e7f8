"""From the bytes of a picture file to the uint8 pixels that a backbone sees, upright and RGB."""

from __future__ import annotations

import io
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import simplejpeg
import torch
from PIL import Image
from torch.nn.functional import interpolate

from data.base.errors import ModelError
from data.base.freed_memory import give_back
from data.base.orientation import orientation
from data.base.picture_limits import FORMATS, MAX_PIXELS, MAX_SIDE, unread_by_content

LARGE_PIXELS = 20_000_000
"""Of larger pictures a process decodes one at a time, whatever its number of threads."""

_large = threading.Lock()
_STRIP = 1 << 18  # pixels that are converted at a time

_CORRUPT = ("Corrupt JPEG data", "Premature end of JPEG file")
"""libjpeg's warnings after which it makes up pixels: a code that is none, data that ends before the picture or goes on
after it, a restart marker that is not the next. Its others (an unknown JFIF revision or colour transform) leave the
pixels as they are."""

_MARKER = re.compile(rb"\xff+([\x01-\xfe])")  # of a JPEG's segment, whose length follows
_SCAN = b"\xda"  # the marker that ends the header
_STEPS = {2: (1, -1), 3: (-1, -1), 4: (-1, 1), 5: (1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}
"""By orientation, in which direction the upright picture's rows and columns are read to give the stored ones."""
_TURNED = (5, 6, 7, 8)  # orientations whose stored rows are the upright picture's columns
_Pixels = np.ndarray[Any, np.dtype[np.uint8]]  # (rows, columns, 3)


class PictureError(ModelError):
    """A file that gives no picture. Its text is the reason alone; the caller knows the file's name."""


def decode(data: bytes, size: int = 224, interpolation: str = "bilinear") -> torch.Tensor:
    """Pixels (3, size, size), uint8, of a picture in one of FORMATS.

    The whole picture is resized without keeping its proportions. It is turned upright as EXIF says, transparent
    places are laid over white, 16-bit channels keep their upper byte, an animation gives its first frame.
    Raises PictureError for what is not a picture, is cut short or corrupt, has more than MAX_PIXELS or is longer than
    MAX_SIDE. Beside `data` it holds about 7 bytes a pixel: 4 in Pillow, 3 as RGB. Decoders that keep the whole
    picture in a form of their own need more for a while: 8 for a turned TIFF, 9 for a progressive JPEG (12 in CMYK), 16
    for WebP.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image, _alone_if_large(image):
            if image.width * image.height > MAX_PIXELS:
                raise PictureError(f"{image.width} x {image.height} pixels, more than {MAX_PIXELS:,}")
            if max(image.size) > MAX_SIDE:
                raise PictureError(f"{image.width} x {image.height} pixels, a side of more than {MAX_SIDE:,}")
            # It has no name here, so that the whole picture is freed before the next large one begins.
            return _resize(
                _jpeg(data, image) if image.format in ("JPEG", "MPO") else _other(image), size, interpolation
            )
    except (PictureError, MemoryError):
        raise
    except Exception as error:  # decoders of damaged files raise anything from OSError to struct.error
        raise PictureError(_reason(error, data)) from error


@contextmanager
def _alone_if_large(image: Image.Image) -> Iterator[None]:
    """Let a large picture wait until no other thread has one, and leave none of its megabytes behind."""
    if image.width * image.height <= LARGE_PIXELS:
        yield
        return
    with _large:
        try:
            yield
        finally:
            image.close()  # its pixels too: the end of `with` only closes the file
            give_back()


def _jpeg(data: bytes, image: Image.Image) -> torch.Tensor:
    """By libjpeg-turbo, as Pillow, to the same pixels; but Pillow is silent about corrupt data."""
    pixels = _strictly(data, image)
    if pixels is None:
        return _other(image)
    return _upright(torch.from_numpy(pixels).permute(2, 0, 1), orientation(image))


def _strictly(data: bytes, image: Image.Image) -> _Pixels | None:
    """RGB, or None where Pillow has to decode: CMYK, and what this interface does not know (rare subsampling).

    ValueError with libjpeg's first warning where it is of corrupt data.
    """
    try:
        if image.mode == "CMYK":  # an eighth of each side is enough to meet all that is corrupt
            _whole(data, "CMYK", _empty(image, 8, 4), min_height=1, min_width=1)
            return None
        return _whole(data, "RGB", _empty(image, 1, 3))
    except ValueError as error:
        if str(error).startswith(_CORRUPT):
            raise
        return None


def _empty(image: Image.Image, scale: int, colours: int) -> _Pixels:
    """Room for a picture's pixels, as large as Pillow's header says: what the file says later can't take more."""
    return np.empty((-(-image.height // scale), -(-image.width // scale), colours), np.uint8)


def _whole(data: bytes, colours: str, room: _Pixels, **least: int) -> _Pixels:
    """Pixels (rows, columns, colours), in `room`. ValueError with libjpeg's first warning, where there is one."""
    try:
        return simplejpeg.decode_jpeg(data, colours, buffer=room, **least)
    except ValueError:
        without_gaps = _without_gaps(data)
        if without_gaps == data:
            raise
        return simplejpeg.decode_jpeg(without_gaps, colours, buffer=room, **least)


def _without_gaps(data: bytes) -> bytes:
    """A JPEG without the bytes between the segments of its header: they code no pixel, and some cameras leave them."""
    kept, end, marker = [data[:2]], 2, b""
    while marker != _SCAN and (match := _MARKER.search(data, end)):
        marker, start = match[1], match.start(1) - 1
        end = start + 2 + int.from_bytes(data[start + 2 : start + 4])
        kept.append(data[start:end])
    return b"".join([*kept, data[end:]])


def _upright(pixels: torch.Tensor, stated: int) -> torch.Tensor:
    """Undo what EXIF's orientation (1 to 8) says about a (3, rows, columns) picture."""
    if stated not in _STEPS:
        return pixels
    _, rows, columns = pixels.shape
    upright, stored = _room(columns, rows, stated)
    stored[:] = pixels.permute(1, 2, 0).numpy()
    return torch.from_numpy(upright).permute(2, 0, 1)


def _other(image: Image.Image) -> torch.Tensor:
    """Every other format and colour mode, by Pillow: pixels (3, rows, columns).

    A strip at a time is made RGB and turned, so that none of these steps copies the whole picture.
    """
    image.load()  # first: it may find the orientation at the file's end, or turn the picture itself
    upright, stored = _room(image.width, image.height, orientation(image))
    for left, top, right, bottom in _strips(image.width, image.height):
        stored[top:bottom, left:right] = np.asarray(_rgb(image.crop((left, top, right, bottom))))
    return torch.from_numpy(upright).permute(2, 0, 1)


def _room(width: int, height: int, stated: int) -> tuple[_Pixels, _Pixels]:
    """An upright picture (rows, columns, 3) to be filled, and its view as a file of this orientation stores it."""
    turned = stated in _TURNED
    upright = np.empty((width, height, 3) if turned else (height, width, 3), np.uint8)
    rows, columns = _STEPS.get(stated, (1, 1))
    stored = upright[::rows, ::columns]
    return upright, stored.swapaxes(0, 1) if turned else stored


def _strips(width: int, height: int) -> Iterator[tuple[int, int, int, int]]:
    """Boxes (left, top, right, bottom) of about _STRIP pixels that make up a picture, cut across its longer side."""
    step = max(1, _STRIP // min(width, height))
    for start in range(0, max(width, height), step):
        end = min(start + step, max(width, height))
        yield (start, 0, end, height) if width > height else (0, start, width, end)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey; Pillow's own convert() would clip it to white
        return Image.fromarray(_upper_bits(np.asarray(image))).convert("RGB")
    if image.mode == "F":
        raise PictureError("floating-point pixels, whose black and white are not known")
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _upper_bits(grey: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """16-bit grey, which Pillow may hold in 32 bits, as uint8."""
    if grey.min() < 0 or grey.max() > 65535:
        raise PictureError("integer pixels beyond 16 bits")
    return (grey >> 8).astype(np.uint8)


def _resize(pixels: torch.Tensor, size: int, interpolation: str) -> torch.Tensor:
    """With antialiasing on uint8: within one level of Pillow's, and much faster than on floats."""
    resized = interpolate(pixels[None], size=(size, size), mode=interpolation, antialias=True)
    return resized[0].contiguous()


def _reason(error: Exception, data: bytes) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {MAX_PIXELS:,} pixels"
    if not data:
        return "an empty file"
    if isinstance(error, Image.UnidentifiedImageError):
        if kind := unread_by_content(data[:64]):
            return f"it is {kind}, whatever its name says, and not decoded here: convert it to JPEG"
        return f"not a picture (it begins with {data[:24]!r})"
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return f"damaged: {text}"


Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2
# Pillow refuses twice as many: what decode() does, and also in a picture that an icon holds, which decode() never sees.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
