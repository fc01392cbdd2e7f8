"""Maps of where a model looked: the picture, bright where its share is high."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from data.base.errors import DataError
from data.pictures.attention_maps import DARKEST, GAP, attention_map, under_each_other


def white(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "white").save(buffer, "PNG")
    return buffer.getvalue()


def test_a_panel_a_glimpse_is_bright_where_the_share_is_high() -> None:
    left, evenly = np.array([[0.9, 0.0], [0.1, 0.0]], np.float16), np.full((2, 2), 0.25, np.float16)
    drawn = attention_map(white(200, 100), [left, evenly], 100)
    assert drawn.size == (2 * 100 + GAP, 50)
    pixels = np.asarray(drawn).astype(int)
    dark = round(DARKEST * 255)
    assert pixels[2, 2, 0] > 250 and abs(pixels[2, 97, 0] - dark) < 4  # rows are rows, columns are columns
    assert dark < pixels[48, 2, 0] < 110  # a ninth of the highest
    assert (pixels[:, 108:] > 250).all()  # looked at evenly: the picture as it is
    assert under_each_other([drawn, drawn]).size == (208, 100 + GAP)


def test_what_is_not_a_picture_has_no_map() -> None:
    with pytest.raises(DataError, match="can't be decoded"):
        attention_map(b"nothing", [np.ones((2, 2))], 100)
