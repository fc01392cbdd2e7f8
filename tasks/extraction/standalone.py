"""Features of any folder or zip of pictures without a stage, for those who want nothing else."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from data.base.errors import DataError
from data.base.files import FILE_BYTES, check_output, check_plain, replaced
from data.base.hashes import file_identity
from data.base.progress import Progress, silent
from data.download.local_copies import WEIGHTS, check_weights_file
from data.pictures.folders import folder_identity, is_picture
from data.pictures.image_sets import open_images
from models.backbones.names import check_backbone, check_weights, default_layer
from tasks.extraction.engines import run_shards
from tasks.extraction.job import Arithmetic, Extraction
from tasks.extraction.shard_files import Merged, merge_shards


@dataclass(frozen=True)
class Outcome:
    """What was written, and how."""

    merged: Merged
    settings: Arithmetic
    skipped: list[str]  # files that are no pictures by their name


def check_paths(pictures: Path, out: Path, weights: str) -> None:
    """Refuse, before the work, what can't be read, and what can't be written or would replace what is read."""
    if not pictures.is_dir():
        check_plain(pictures, FILE_BYTES)
    if weights.endswith(WEIGHTS):
        check_weights_file(Path(weights))
    target = check_output(out)
    inside = pictures.is_dir() and is_picture(out.name) and pictures.resolve() in target.parents
    if inside or str(target) in (os.path.realpath(pictures), os.path.realpath(weights)):
        raise DataError(f"--out {out}: is one of the files that are read; name another")


def extract_pictures(
    pictures: Path,
    out: Path,
    room: Path,
    backbone: str,
    layer: str = "",
    weights: str = "random:0",
    weights_id: str = "",
    engine: str = "local",
    ray_address: str = "",
    max_bad_images: int = 0,
    progress: Progress = silent,
    begin: Callable[[Path], None] = lambda work: None,
    **how: str | int,
) -> Outcome:
    """Write `out`, a feature file of all pictures in a folder or zip.

    `weights` is random:SEED or a file; `how`: device, precision, threads, batch, as in Extraction. Killed and
    started again, it goes on where it was: unfinished work lies below the artifacts folder `room`, under a name that
    changes with `out` and with the content of the pictures and of the weights. Nothing lies beside `out`. `begin` is
    told that folder before anything is written into it.
    """
    check_backbone(backbone)
    check_weights(weights)
    check_paths(pictures, out, weights)
    images = open_images(pictures)
    known = room / ".identities.json"
    extraction = Extraction(
        images=images,
        backbone=backbone,
        layer=layer or default_layer(backbone),
        weights=weights,
        weights_id=weights_id or _identity(weights, known, progress),
        work=room,
    )
    extraction = replace(extraction, work=_work(extraction, pictures, out, room, progress), **how)  # type: ignore[arg-type]
    begin(extraction.work)
    settings = run_shards(extraction, engine, ray_address, progress, progress)
    with replaced(out) as path:
        merged = merge_shards(extraction, settings, path, max_bad_images)
    shutil.rmtree(extraction.work, ignore_errors=True)
    return Outcome(merged, settings, images.skipped)


def _identity(weights: str, known: Path, progress: Progress) -> str:
    return weights if weights.startswith("random:") else file_identity(Path(weights), known, progress)


def _work(extraction: Extraction, pictures: Path, out: Path, room: Path, progress: Progress) -> Path:
    identify = folder_identity if pictures.is_dir() else file_identity
    identity = identify(pictures, room / ".identities.json", progress)
    key = [identity, extraction.backbone, extraction.layer, extraction.weights_id, os.path.realpath(out)]
    return room / ".work" / f"features-{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]}"
