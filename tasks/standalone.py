"""Features of any folder or zip of pictures without a stage, for those who want nothing else."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from data.errors import DataError
from data.files import flush
from data.images import folder_identity, open_images
from data.progress import Progress, silent
from models.backbone_names import check_backbone, check_weights, default_layer
from tasks.engines import run_shards
from tasks.shards import Extraction, Merged, Settings, merge_shards


@dataclass(frozen=True)
class Outcome:
    """What was written, and how."""

    merged: Merged
    settings: Settings
    skipped: list[str]  # files that are no pictures by their name


def extract_pictures(
    pictures: Path,
    out: Path,
    backbone: str,
    layer: str = "",
    weights: str = "random:0",
    weights_id: str = "",
    engine: str = "local",
    ray_address: str = "",
    max_bad_images: int = 0,
    progress: Progress = silent,
    **how: str | int,
) -> Outcome:
    """Write `out`, a feature file of all pictures in a folder or zip.

    `weights` is random:SEED or a file; `how`: device, precision, threads, batch, as in Extraction. Killed and
    started again, it goes on where it was: unfinished work lies beside `out` until that is written, under a
    name that changes with the content of the pictures and of the weights.
    """
    check_backbone(backbone)
    check_weights(weights)
    if not out.parent.is_dir():
        raise DataError(f"--out {out}: there is no folder {out.parent}. Make it first.")
    images = open_images(pictures)
    extraction = Extraction(
        images=images,
        backbone=backbone,
        layer=layer or default_layer(backbone),
        weights=weights,
        weights_id=weights_id or _weights_id(weights),
        work=out,
    )
    extraction = replace(extraction, work=_work(extraction, pictures, out), **how)  # type: ignore[arg-type]
    settings = run_shards(extraction, engine, ray_address, progress)
    beside = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        merged = merge_shards(extraction, settings, beside, max_bad_images)
        flush(beside)
        beside.replace(out)
    finally:
        beside.unlink(missing_ok=True)
    shutil.rmtree(extraction.work, ignore_errors=True)
    out.with_name(f".{out.name}-hashes").unlink(missing_ok=True)
    return Outcome(merged, settings, images.skipped)


def _weights_id(weights: str) -> str:
    return weights if weights.startswith("random:") else _sha256(Path(weights))


def _work(extraction: Extraction, pictures: Path, out: Path) -> Path:
    hashes = out.with_name(f".{out.name}-hashes")
    identity = folder_identity(pictures, hashes) if pictures.is_dir() else _sha256(pictures)
    key = [identity, extraction.backbone, extraction.layer, extraction.weights_id]
    return out.with_name(f".{out.name}-{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]}")


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror}") from error
