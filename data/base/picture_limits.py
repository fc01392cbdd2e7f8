"""Which pictures are decoded, and how large they may be: the same for features, pages and thumbnails."""

from __future__ import annotations

MAX_PIXELS = 100_000_000
"""Larger pictures are refused by their header: 300 MB of RGB are a bomb or a mistake."""

MAX_SIDE = 100_000
"""Longer ones are refused too: a resize goes by way of a picture as high as the original and as wide as the result."""

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
"""What is decoded, whatever a file is called. Pillow reads more; of these PostScript is a program, which it runs.
An MPO, as some cameras write it, is opened as the JPEG that it begins with."""
