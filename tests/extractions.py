"""A small extraction for the tests of engines: 24 pictures of noise in six shards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from data.pictures.image_sets import open_images
from tasks.extraction.job import Arithmetic, Extraction
from tasks.extraction.shard_files import merge_shards


def draw_pictures(folder: Path) -> Path:
    for number in range(24):
        noise = np.random.default_rng(number).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{number:03}.png")
    return folder


def make(folder: Path, work: Path) -> Extraction:
    return Extraction(
        images=open_images(folder),
        backbone="squeezenet1_1",
        layer="flatten",
        weights="random:0",
        weights_id="random:0",
        work=work,
        device="cpu",
        precision="float32",
        threads=1,
        batch=2,
        shard=4,
    )


def merged(extraction: Extraction, settings: Arithmetic) -> bytes:
    path = extraction.work / "features.h5"
    merge_shards(extraction, settings, path)
    return path.read_bytes()
