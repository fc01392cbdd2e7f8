"""How large the embedded sample is, known before it is drawn."""

SIZES: dict[str, dict[str, int]] = {
    "sample": {"pictures_train": 400, "pictures_val": 100, "seed": 0},
    "tiny": {"pictures_train": 8, "pictures_val": 4, "seed": 0},
}

PICTURE_BYTES = 16_000
"""On the disk, about: a picture with its questions and answers. The 500 of `sample` take 6.9 MB in all."""
