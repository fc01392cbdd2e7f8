"""Small pictures for pages: whatever a picture's format, a JPEG that every browser shows."""

from __future__ import annotations

import io
import warnings

from PIL import Image
from PIL.Image import Transpose

from data.base.orientation import orientation
from data.base.picture_limits import FORMATS, MAX_PIXELS

_TURNS = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
"""By orientation, what makes a stored picture upright."""


def thumbnail(content: bytes, side: int) -> bytes | None:
    """A picture, upright, as a JPEG of at most `side` pixels each way; None where it can't be decoded."""
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                return None
            opened.draft("RGB", (2 * side, 2 * side))
            small = opened.convert("RGB")
            small.thumbnail((side, side))
            if (stated := orientation(opened)) in _TURNS:
                small = small.transpose(_TURNS[stated])
    except Exception:  # decoders of damaged files raise anything
        return None
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # Pillow refuses twice as many, in icons too
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
