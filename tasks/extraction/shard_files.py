"""Shards on disk: what a finished shard leaves behind.

Rows are written first, into the unfinished features.h5 of each layer, and the shard's manifest after them, so a shard
that has its manifest is finished and is never done again; the rest may be killed at any moment.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.base.files import atomic_write
from tasks.extraction.job import Arithmetic, Extraction

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tasks.extraction.unfinished import Unfinished


@dataclass(frozen=True)
class BadPicture:
    """A picture that gave no features, and why."""

    image_id: int
    name: str
    reason: str


@dataclass(frozen=True)
class LayerRows:
    """A shard's rows of one layer: the shape of each, and the sha256 of their bytes."""

    shape: list[int]
    sha256: str


@dataclass(frozen=True)
class ShardResult:
    """A finished shard as its manifest tells it. `about` holds the attributes that its feature files share."""

    shard: int
    image_ids: list[int]
    bad: list[BadPicture]
    layers: dict[str, LayerRows]
    about: dict[str, str]


def write_shard(
    extraction: Extraction,
    settings: Arithmetic,
    shard: int,
    files: list[Unfinished],
    features: NDArray[np.float16],
    bad: dict[int, str],
    about: dict[str, str],
) -> ShardResult:
    """Write a shard's rows into the file of each layer, bad ones too, then its manifest.

    `bad`: their place and reason. `features` has the values of all layers: see models.backbones.load.Backbone.
    """
    ids, names = extraction.ids(shard), extraction.images.names
    first = extraction.rows(shard).start
    result = ShardResult(
        shard=shard,
        image_ids=ids,
        bad=[BadPicture(ids[place], names[first + place], bad[place]) for place in sorted(bad)],
        layers=_write_rows(extraction, files, first, features),
        about=about,
    )
    manifest = json.dumps(asdict(result) | {"settings": asdict(settings)}, indent=1) + "\n"
    with atomic_write(_manifest_path(settings.folder(extraction.work), shard)) as temporary:
        temporary.write_bytes(manifest.encode())
    return result


def _write_rows(
    extraction: Extraction, files: list[Unfinished], first: int, features: NDArray[np.float16]
) -> dict[str, LayerRows]:
    values, start = features.reshape(len(features), -1), 0
    written = {}
    for layer, file in zip(extraction.layers, files, strict=True):
        stop = start + math.prod(file.shape)
        rows = values[:, start:stop].reshape(len(features), *file.shape)
        written[layer] = LayerRows(list(file.shape), file.write(first, rows))
        start = stop
    return written


def missing_shards(extraction: Extraction, settings: Arithmetic) -> list[int]:
    """The shards still to be done: without a manifest, or with one of something else.

    Whether the rows are still as they were written shows when the whole file is read, at the end.
    """
    return [shard for shard in range(extraction.shards()) if not is_finished(extraction, settings, shard)]


def is_finished(extraction: Extraction, settings: Arithmetic, shard: int) -> bool:
    """Whether a shard has its manifest, of this extraction, and there are files that have rows."""
    folder = settings.folder(extraction.work)
    try:
        result = read_manifest(folder, shard)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False
    wanted = {"backbone": extraction.backbone, "weights": extraction.weights_id}
    return (
        result.image_ids == extraction.ids(shard)
        and wanted.items() <= result.about.items()
        and tuple(result.layers) == extraction.layers
        and all(settings.features(extraction.work, layer).is_file() for layer in extraction.layers)
    )


def begun_settings(work: Path) -> Counter[Arithmetic]:
    """The settings under which shards lie finished in a work folder, with their number."""
    counts: Counter[Arithmetic] = Counter()
    for folder in work.glob("*/"):
        manifests = sorted(folder.glob("shard-*.json"))
        with suppress(OSError, ValueError, KeyError, TypeError, IndexError, RecursionError):
            counts[Arithmetic(**json.loads(manifests[0].read_bytes())["settings"])] = len(manifests)
    return counts


def reopen(folder: Path, shards: list[int]) -> None:
    """Let shards be done again."""
    for shard in shards:
        _manifest_path(folder, shard).unlink(missing_ok=True)


def _manifest_path(folder: Path, shard: int) -> Path:
    return folder / f"shard-{shard:06}.json"


def read_manifest(folder: Path, shard: int) -> ShardResult:
    """What a finished shard says of itself."""
    fields: dict[str, Any] = json.loads(_manifest_path(folder, shard).read_bytes())
    del fields["settings"]  # they are in the folder's name; in the file for whoever reads it
    bad = [BadPicture(**picture) for picture in fields.pop("bad")]
    layers = {layer: LayerRows(**rows) for layer, rows in fields.pop("layers").items()}
    return ShardResult(bad=bad, layers=layers, **fields)
