"""A small extraction for the tests of shards and engines: 24 pictures of noise in six shards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data.pictures.image_sets import open_images
from tasks.extraction.finish import finish
from tasks.extraction.job import Arithmetic, Extraction


def draw_pictures(folder: Path) -> Path:
    for number in range(24):
        noise = np.random.default_rng(number).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{number:03}.png")
    return folder


def make(pictures: Any, work: Path) -> Extraction:
    """`pictures`: a folder of them, or what has the shape of Images."""
    return Extraction(
        images=open_images(pictures) if isinstance(pictures, Path) else pictures,
        backbone="squeezenet1_1",
        layers=("flatten",),
        weights="random:0",
        weights_id="random:0",
        work=work,
        device="cpu",
        precision="float32",
        threads=1,
        batch=2,
        shard=4,
    )


def finished(extraction: Extraction, settings: Arithmetic) -> bytes:
    """features.h5 of finished shards, of several layers one after the other."""
    return b"".join(file.path.read_bytes() for file in finish(extraction, settings).files.values())
