"""Where a model looked, as a picture: bright where it did, dark where it did not."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data.base.errors import DataError
from data.pictures.thumbnails import thumbnail

DARKEST = 0.3  # brightness of a place that the model did not look at
GAP = 8  # pixels between panels


def attention_map(content: bytes, maps: Sequence[NDArray[np.floating]], side: int) -> Image.Image:
    """The picture once for each map (rows, columns) of shares, in a row. A place's brightness is its share of the
    highest share; the whole picture lies under the map, as the network saw it.

    side: pixels of the longer side of a panel. DataError where the picture can't be decoded.
    """
    small = thumbnail(content, side)
    if small is None:
        raise DataError("the picture can't be decoded")
    with Image.open(io.BytesIO(small)) as opened:
        picture = opened.convert("RGB")
    return _in_a_row([_under(picture, np.asarray(shares, np.float32)) for shares in maps])


def _under(picture: Image.Image, shares: NDArray[np.float32]) -> Image.Image:
    highest = float(shares.max())
    levels = np.rint(255 * (shares / highest if highest > 0 else shares)).astype(np.uint8)
    brightness = Image.fromarray(levels).resize(picture.size, Image.Resampling.BILINEAR)
    dark = picture.point(lambda level: round(DARKEST * level))
    return Image.composite(picture, dark, brightness)


def _in_a_row(panels: Sequence[Image.Image]) -> Image.Image:
    width, height = panels[0].size
    row = Image.new("RGB", (len(panels) * (width + GAP) - GAP, height), "white")
    for number, panel in enumerate(panels):
        row.paste(panel, (number * (width + GAP), 0))
    return row


def under_each_other(rows: Sequence[Image.Image]) -> Image.Image:
    """Rows of panels as one picture."""
    height = rows[0].height + GAP
    page = Image.new("RGB", (rows[0].width, len(rows) * height - GAP), "white")
    for number, row in enumerate(rows):
        page.paste(row, (0, number * height))
    return page


def as_jpeg(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()
