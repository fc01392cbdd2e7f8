"""A layer's features.h5 that shards write their rows into: laid out whole, so that no byte is written twice.

Any number of processes, on one machine or on several with shared storage, write each its own rows at their place.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.base.files import FILE_BYTES, open_plain
from data.base.progress import Progress, silent
from data.pictures.feature_file import feature_frame
from tasks.extraction.job import Arithmetic, Extraction

PIECE = 1 << 20  # bytes that are read at a time


@dataclass(frozen=True)
class Unfinished:
    """A feature file of known size, whose rows may be there or not; `start` is the place of the first one's bytes."""

    path: Path
    start: int
    shape: tuple[int, ...]

    def place(self, rows: range) -> range:
        """Where the bytes of some rows lie."""
        row = 2 * int(np.prod(self.shape, dtype=np.int64))
        return range(self.start + rows.start * row, self.start + rows.stop * row)

    def write(self, first: int, features: NDArray[np.float16]) -> str:
        """Write rows (n, *shape) to the disk at their place, from row `first` on; returns the sha256 of their bytes."""
        content = np.ascontiguousarray(features).data.cast("B")
        digest = hashlib.sha256(content).hexdigest()
        _put(self.path, {self.place(range(first, first + len(features))).start: content})
        return digest

    def read(self, rows: range) -> NDArray[np.float16]:
        """Some rows (n, *shape)."""
        offset = self.place(rows).start
        count = len(rows) * int(np.prod(self.shape, dtype=np.int64))
        values: NDArray[np.float16] = np.fromfile(self.path, np.float16, count, offset=offset)
        return values.reshape(len(rows), *self.shape)

    def hashes(self, shards: Sequence[range], progress: Progress = silent) -> tuple[str, list[str]]:
        """The sha256 of the file, and of the rows of each shard, from reading it once; `progress` counts rows."""
        whole, parts = hashlib.sha256(), [hashlib.sha256() for _ in shards]
        with open_plain(self.path, FILE_BYTES) as file:
            for piece in _pieces(file, self.start):
                whole.update(piece)
            for rows, part in zip(shards, parts, strict=True):
                for piece in _pieces(file, len(self.place(rows))):
                    part.update(piece)
                    whole.update(piece)
                progress(rows.stop, shards[-1].stop, "finished shards")
            for piece in _pieces(file, FILE_BYTES):
                whole.update(piece)
        return whole.hexdigest(), [part.hexdigest() for part in parts]


def lay_out(
    extraction: Extraction, settings: Arithmetic, layer: str, shape: Sequence[int], about: Mapping[str, str]
) -> Unfinished:
    """Give a layer's file its size and all of its bytes but the rows; rows that are there stay as they are.

    Every process may do it at any time: all write the same.
    """
    path, images = settings.features(extraction.work, layer), extraction.images
    path.parent.mkdir(parents=True, exist_ok=True)
    attributes = {**about, "layer": layer}
    frame = feature_frame(images.ids, images.names, shape, attributes, path.parent.parent)
    with open(path, "ab") as file:
        file.truncate(frame.size())
    _put(path, {0: memoryview(frame.head), frame.rows.stop: memoryview(frame.tail)})
    return Unfinished(path, frame.rows.start, tuple(shape))


def _put(path: Path, contents: Mapping[int, memoryview]) -> None:
    """Write bytes at their places, and wait until the disk has them.

    Opened for writing only, and synchronously: then no NFS client writes more of a page than these bytes, as the
    bytes beside them may be another machine's. FileNotFoundError where another run has finished and moved the file.
    """
    file = os.open(path, os.O_WRONLY | os.O_DSYNC)
    try:
        for place, content in contents.items():
            while content:
                written = os.pwrite(file, content, place)
                place, content = place + written, content[written:]
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        os.close(file)


def _pieces(file: object, length: int) -> Iterator[memoryview]:
    """The next `length` bytes of a file, or what is left of it."""
    room = memoryview(bytearray(min(PIECE, length)))
    while length and (size := file.readinto(room[: min(PIECE, length)])):  # type: ignore[attr-defined]
        yield room[:size]
        length -= size
