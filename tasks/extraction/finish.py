"""From finished shards to finished feature files: read once, and checked by what each shard says of itself."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from data.base.errors import DataError
from data.base.hashes import sha256_file
from data.base.progress import Progress, silent
from tasks.extraction.job import Arithmetic, Extraction
from tasks.extraction.shard_files import BadPicture, ShardResult, read_manifest, reopen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tasks.extraction.unfinished import Unfinished


class DamagedRows(DataError):
    """Rows are not as their shards wrote them; these shards must be done again."""


@dataclass(frozen=True)
class FeatureFile:
    """A layer's whole features.h5, alone in its folder and ready to be moved; `shape` of one picture's features."""

    path: Path
    sha256: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Finished:
    """The file of each layer; `bad` is what they leave out."""

    files: dict[str, FeatureFile]
    pictures: int
    bad: list[BadPicture]


def finish(
    extraction: Extraction, settings: Arithmetic, max_bad_images: int = 0, progress: Progress = silent
) -> Finished:
    """Check the files that the shards have filled; where pictures are to be left out, copy the others into new ones.

    `progress` counts pictures whose rows were read. Raises DamagedRows; DataError, with all bad pictures, where there
    are more than `max_bad_images` or nothing else. The shards that hold them are then to be done again: what was wrong
    may be mended by the next run.
    """
    from tasks.extraction.unfinished import lay_out

    folder = settings.folder(extraction.work)
    results = [read_manifest(folder, shard) for shard in range(extraction.shards())]
    bad = [picture for result in results for picture in result.bad]
    try:
        check_bad(bad, max_bad_images, len(extraction.images.ids))
    except DataError:
        reopen(folder, [result.shard for result in results if result.bad])
        raise
    first = results[0]
    filled = {
        layer: lay_out(extraction, settings, layer, rows.shape, first.about)
        for layer, rows in first.layers.items()
    }
    hashes = _checked(extraction, settings, filled, results, progress)
    files = {layer: FeatureFile(file.path, hashes[layer], file.shape) for layer, file in filled.items()}
    if bad:
        files = {
            layer: _without_bad(extraction, settings, layer, file, results) for layer, file in filled.items()
        }
    return Finished(files, len(extraction.images.ids) - len(bad), bad)


def _checked(
    extraction: Extraction,
    settings: Arithmetic,
    filled: dict[str, Unfinished],
    results: list[ShardResult],
    progress: Progress,
) -> dict[str, str]:
    """The sha256 of each layer's file. DamagedRows where a shard's rows have another than it wrote."""
    shards = [extraction.rows(result.shard) for result in results]
    hashes: dict[str, str] = {}
    damaged: dict[int, Path] = {}
    for layer, file in filled.items():
        hashes[layer], digests = file.hashes(shards, progress)
        pairs = zip(results, digests, strict=True)
        damaged |= {
            result.shard: file.path for result, digest in pairs if digest != result.layers[layer].sha256
        }
    if damaged:
        reopen(settings.folder(extraction.work), sorted(damaged))
        raise DamagedRows(
            f"{next(iter(damaged.values()))}: {len(damaged)} shards are not as they were written, such as "
            f"{sorted(damaged)[:3]}. Is the disk failing, or does another program write there? Run the same again."
        )
    return hashes


def _without_bad(
    extraction: Extraction, settings: Arithmetic, layer: str, file: Unfinished, results: list[ShardResult]
) -> FeatureFile:
    """A second file, of the pictures that can be used, one shard in memory at a time."""
    from data.pictures.feature_file import write_features

    path, images = settings.folder(extraction.work) / layer / "kept" / file.path.name, extraction.images
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)  # what a kill has left would take room
    size, free = file.path.stat().st_size, shutil.disk_usage(path.parent).free
    if size > free:
        raise DataError(
            f"{path}: to leave pictures out takes a second file, of up to {size:,} bytes, but only {free:,} are free; "
            "make room (gc lists what no longer counts), then run again. Finished shards are kept."
        )
    left_out = {picture.image_id for result in results for picture in result.bad}
    kept = [row for row, image_id in enumerate(images.ids.tolist()) if image_id not in left_out]
    names = [images.names[row] for row in kept]
    blocks = _good_rows(extraction, file, results)
    attributes = {**results[0].about, "layer": layer}
    write_features(path, blocks, images.ids[kept], names, file.shape, attributes)
    return FeatureFile(path, sha256_file(path), file.shape)


def _good_rows(
    extraction: Extraction, file: Unfinished, results: list[ShardResult]
) -> Iterator[NDArray[np.float16]]:
    import numpy as np

    for result in results:
        rows = file.read(extraction.rows(result.shard))
        bad = [result.image_ids.index(picture.image_id) for picture in result.bad]
        yield np.delete(rows, bad, axis=0) if bad else rows


def check_bad(bad: list[BadPicture], allowed: int, total: int, most: int = 100) -> None:
    """Raise DataError with the list of bad pictures, and the setting that would allow them."""
    if len(bad) <= allowed and len(bad) < total:
        return
    lines = [f"  {picture.name} (id {picture.image_id}): {picture.reason}" for picture in bad[:most]]
    if len(bad) > most:
        lines.append(f"  and {len(bad) - most:,} more")
    advice = ["No picture is left."]
    if len(bad) < total:
        advice = [
            "Mend or remove them, or leave them out of the features with these lines in luigi.cfg "
            "(shards without them are kept):",
            "[features]",
            f"max_bad_images = {len(bad)}",
        ]
    head = f"{len(bad):,} of {total:,} pictures can't be used, {allowed:,} are allowed:"
    raise DataError(head, *lines, *advice)
