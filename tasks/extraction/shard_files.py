"""Shards on disk: what an extraction is, what a finished shard leaves behind, how shards become one file.

Rows are written first and the manifest after them, so a shard that has its manifest is finished and is never
done again; the rest may be killed at any moment.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import socket
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.base.errors import DataError
from data.base.files import flush
from data.base.hashes import sha256_file
from data.base.progress import Progress, silent
from tasks.extraction.job import Arithmetic, Extraction


@dataclass(frozen=True)
class BadPicture:
    """A picture that gave no features, and why."""

    image_id: int
    name: str
    reason: str


@dataclass(frozen=True)
class ShardResult:
    """A finished shard as its manifest tells it. `about` holds the attributes of the feature file."""

    shard: int
    image_ids: list[int]
    bad: list[BadPicture]
    shape: list[int]
    sha256: str
    about: dict[str, str]


@dataclass(frozen=True)
class Merged:
    """What went into features.h5; `bad` is what did not."""

    pictures: int
    shape: tuple[int, ...]
    bad: list[BadPicture]


def write_shard(
    extraction: Extraction,
    settings: Arithmetic,
    shard: int,
    features: NDArray[np.float16],
    bad: dict[int, str],
    about: dict[str, str],
) -> ShardResult:
    """Write a shard's rows without the bad ones (`bad`: their place and reason), then its manifest."""
    folder = settings.folder(extraction.work)
    folder.mkdir(parents=True, exist_ok=True)
    ids, names = extraction.ids(shard), extraction.images.names
    first = extraction.rows(shard).start
    buffer = io.BytesIO()
    np.save(buffer, np.delete(features, list(bad), axis=0) if bad else features, allow_pickle=False)
    result = ShardResult(
        shard=shard,
        image_ids=ids,
        bad=[BadPicture(ids[place], names[first + place], bad[place]) for place in sorted(bad)],
        shape=list(features.shape[1:]),
        sha256=hashlib.sha256(buffer.getbuffer()).hexdigest(),
        about=about | {"weights": extraction.weights_id},
    )
    manifest = json.dumps(asdict(result) | {"settings": asdict(settings)}, indent=1) + "\n"
    _replace(_rows_path(folder, shard), buffer.getvalue())
    _replace(_manifest_path(folder, shard), manifest.encode())
    return result


def missing_shards(extraction: Extraction, settings: Arithmetic, progress: Progress = silent) -> list[int]:
    """The shards still to be done: without a manifest, of something else, or with rows of another sha256.

    `progress` counts the pictures of the shards that were looked at: hashing takes about a second for each GB.
    """
    missing, looked_at = [], 0
    for shard in range(extraction.shards()):
        if not is_finished(extraction, settings, shard):
            missing.append(shard)
        looked_at += len(extraction.rows(shard))
        progress(looked_at, len(extraction.images.ids), "finished shards")
    return missing


def merge_shards(extraction: Extraction, settings: Arithmetic, path: Path, max_bad_images: int = 0) -> Merged:
    """Write features.h5 from finished shards, one in memory at a time.

    Raises DataError, with all bad pictures, where there are more than `max_bad_images` or nothing else. The shards
    that hold them are then to be done again: what was wrong may be mended by the next run.
    """
    from data.pictures.feature_file import write_features

    folder, images = settings.folder(extraction.work), extraction.images
    results = [_read_manifest(folder, shard) for shard in range(extraction.shards())]
    bad = [picture for result in results for picture in result.bad]
    try:
        check_bad(bad, max_bad_images, len(images.ids))
    except DataError:
        _reopen(folder, [result.shard for result in results if result.bad])
        raise
    left_out = {picture.image_id for picture in bad}
    kept = [row for row, image_id in enumerate(images.ids.tolist()) if image_id not in left_out]
    shape = tuple(results[0].shape)
    blocks = (_read_rows(folder, result.shard) for result in results)
    names = [images.names[row] for row in kept]
    write_features(path, blocks, images.ids[kept], names, shape, results[0].about)
    return Merged(len(kept), shape, bad)


def check_bad(bad: list[BadPicture], allowed: int, total: int, most: int = 100) -> None:
    """Raise DataError with the list of bad pictures, and the setting that would allow them."""
    if len(bad) <= allowed and len(bad) < total:
        return
    lines = [f"  {picture.name} (id {picture.image_id}): {picture.reason}" for picture in bad[:most]]
    if len(bad) > most:
        lines.append(f"  and {len(bad) - most:,} more")
    advice = "No picture is left."
    if len(bad) < total:
        advice = (
            "Mend or remove them, or leave them out of the features with these lines in luigi.cfg "
            f"(shards without them are kept):\n[features]\nmax_bad_images = {len(bad)}"
        )
    head = f"{len(bad):,} of {total:,} pictures can't be used, {allowed:,} are allowed:"
    raise DataError("\n".join([head, *lines, advice]))


def _reopen(folder: Path, shards: list[int]) -> None:
    for shard in shards:
        _manifest_path(folder, shard).unlink(missing_ok=True)


def _replace(path: Path, content: bytes) -> None:
    """Write beside `path`, flush, rename: the name never shows half a file, even after a power cut."""
    beside = path.with_name(f".{path.name}-{socket.gethostname()}-{os.getpid()}-{time.time_ns()}")
    try:
        beside.write_bytes(content)
        flush(beside)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    flush(path.parent)


def _rows_path(folder: Path, shard: int) -> Path:
    return folder / f"shard-{shard:06}.npy"


def _manifest_path(folder: Path, shard: int) -> Path:
    return folder / f"shard-{shard:06}.json"


def _read_manifest(folder: Path, shard: int) -> ShardResult:
    fields: dict[str, Any] = json.loads(_manifest_path(folder, shard).read_bytes())
    del fields["settings"]  # they are in the folder's name; in the file for whoever reads it
    return ShardResult(**fields | {"bad": [BadPicture(**picture) for picture in fields["bad"]]})


def _read_rows(folder: Path, shard: int) -> NDArray[np.float16]:
    rows: NDArray[np.float16] = np.load(_rows_path(folder, shard), allow_pickle=False)
    return rows


def is_finished(extraction: Extraction, settings: Arithmetic, shard: int) -> bool:
    """Whether a shard is finished, unharmed and of this extraction; hashing costs about a second for each GB."""
    folder = settings.folder(extraction.work)
    try:
        result = _read_manifest(folder, shard)
        digest = sha256_file(_rows_path(folder, shard))
    except (OSError, DataError, ValueError, KeyError, TypeError, RecursionError):
        return False
    wanted = {"backbone": extraction.backbone, "layer": extraction.layer, "weights": extraction.weights_id}
    return (
        digest == result.sha256
        and result.image_ids == extraction.ids(shard)
        and wanted.items() <= result.about.items()
    )
