"""Which way up a picture is."""

from __future__ import annotations

import warnings
from typing import Any

_TAG = 0x0112


def orientation(image: Any) -> int:
    """EXIF's orientation (1 to 8) of a picture that Pillow has loaded; 1 (upright) where there is none.

    A block that can't be read counts as none: the pixels are not affected.
    """
    try:
        stated = image.getexif().get(_TAG, 1)
    except Exception:  # Pillow's reader of damaged blocks raises anything from SyntaxError to struct.error
        return 1
    return stated if isinstance(stated, int) and 1 <= stated <= 8 else 1


# Pillow's warnings of damaged blocks name no file.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
