"""From the bytes of a picture file to the uint8 pixels that a backbone sees, upright and RGB."""

from __future__ import annotations

import io
import re
import warnings
from typing import Any

import numpy as np
import simplejpeg
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch.nn.functional import interpolate

from models.errors import ModelError

MAX_PIXELS = 100_000_000
"""Larger pictures are refused by their header: 300 MB of RGB are a bomb or a mistake."""

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
"""What is decoded, whatever a file is called. Pillow reads more; of these PostScript is a program, which it runs.
An MPO, as some cameras write it, is opened as the JPEG that it begins with."""

_CORRUPT = ("Corrupt JPEG data", "Premature end of JPEG file")
"""libjpeg's warnings after which it makes up pixels: a code that is none, data that ends before the picture or goes on
after it, a restart marker that is not the next. Its others (an unknown JFIF revision or colour transform) leave the
pixels as they are."""

_ORIENTATION = 0x0112  # the EXIF tag
_MARKER = re.compile(rb"\xff+([\x01-\xfe])")  # of a JPEG's segment, whose length follows
_SCAN = b"\xda"  # the marker that ends the header


class PictureError(ModelError):
    """A file that gives no picture. Its text is the reason alone; the caller knows the file's name."""


def decode(data: bytes, size: int = 224) -> torch.Tensor:
    """Pixels (3, size, size), uint8, of a picture in one of FORMATS.

    The whole picture is resized, its proportions are not kept. It is turned upright as EXIF says, transparent
    places are laid over white, 16-bit channels keep their upper byte, an animation gives its first frame.
    Raises PictureError for what is not a picture, is cut short or corrupt, or has more than MAX_PIXELS.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise PictureError(f"{image.width} x {image.height} pixels, more than {MAX_PIXELS:,}")
            pixels = _jpeg(data, image) if image.format in ("JPEG", "MPO") else _other(image)
    except (PictureError, MemoryError):
        raise
    except Exception as error:  # decoders of damaged files raise anything from OSError to struct.error
        raise PictureError(_reason(error, data)) from error
    return _resize(pixels, size)


def _jpeg(data: bytes, image: Image.Image) -> torch.Tensor:
    """By libjpeg-turbo, as Pillow, to the same pixels; but Pillow is silent about corrupt data.

    Pillow decodes the rest: CMYK, and what this interface of libjpeg-turbo does not know (rare subsampling).
    """
    cmyk = image.mode == "CMYK"
    room = np.empty(
        (image.height, image.width, 4 if cmyk else 3), np.uint8
    )  # what Pillow's header says, never more
    try:
        pixels = _strictly(data, "CMYK" if cmyk else "RGB", room)
    except ValueError as error:
        if str(error).startswith(_CORRUPT):
            raise
        return _other(image)
    if cmyk:
        return _other(image)
    return _upright(torch.from_numpy(pixels).permute(2, 0, 1), image.getexif().get(_ORIENTATION, 1))


def _strictly(data: bytes, colours: str, room: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pixels (rows, columns, colours), in `room`. ValueError with libjpeg's first warning, where there is one."""
    try:
        return simplejpeg.decode_jpeg(data, colours, buffer=room)
    except ValueError:
        whole = _without_gaps(data)
        if whole == data:
            raise
        return simplejpeg.decode_jpeg(whole, colours, buffer=room)


def _without_gaps(data: bytes) -> bytes:
    """A JPEG without what lies between the segments of its header: it codes no pixel, and some cameras leave it."""
    kept, end, marker = [data[:2]], 2, b""
    while marker != _SCAN and (found := _MARKER.search(data, end)):
        marker, start = found[1], found.start(1) - 1
        end = start + 2 + int.from_bytes(data[start + 2 : start + 4])
        kept.append(data[start:end])
    return b"".join([*kept, data[end:]])


def _upright(pixels: torch.Tensor, orientation: int) -> torch.Tensor:
    """Undo what EXIF's orientation (1 to 8) says about a (3, rows, columns) picture."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 2)
    flipped = {2: [2], 3: [1, 2], 4: [1], 6: [2], 7: [1, 2], 8: [1]}.get(orientation)
    return pixels.flip(flipped) if flipped else pixels


def _other(image: Image.Image) -> torch.Tensor:
    """Every other format and colour mode, by Pillow: pixels (3, rows, columns)."""
    image = _rgb(ImageOps.exif_transpose(image))
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


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


def _resize(pixels: torch.Tensor, size: int) -> torch.Tensor:
    """Bilinear with antialiasing on uint8: within one level of Pillow's, and much faster than on floats."""
    resized = interpolate(pixels[None], size=(size, size), mode="bilinear", antialias=True)
    return resized[0].contiguous()


def _reason(error: Exception, data: bytes) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {MAX_PIXELS:,} pixels"
    if not data:
        return "an empty file"
    if isinstance(error, Image.UnidentifiedImageError):
        return f"not a picture (it begins with {data[:24]!r})"
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return f"damaged: {text}"


Image.MAX_IMAGE_PIXELS = MAX_PIXELS
# decode() refuses by the same limit.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
