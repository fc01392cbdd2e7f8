"""Small pictures for pages: whatever a picture's format, a JPEG that every browser shows."""

from __future__ import annotations

import io

from PIL import Image, ImageOps

from data.base.picture_limits import FORMATS, MAX_PIXELS


def thumbnail(content: bytes, side: int) -> bytes | None:
    """A picture, upright, as a JPEG of at most `side` pixels each way; None where it can't be decoded."""
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                return None
            opened.draft("RGB", (2 * side, 2 * side))
            ImageOps.exif_transpose(opened, in_place=True)  # else a picture that needs no turning is copied
            small = opened.convert("RGB")
            small.thumbnail((side, side))
    except Exception:  # decoders of damaged files raise anything
        return None
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()
