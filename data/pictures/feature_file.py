"""features.h5: one float16 row a picture, contiguous and uncompressed, with the ids that the rows have."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from data.base.errors import DataError
from data.containers import hdf5

IN_MEMORY = 4 << 30
"""Bytes of a feature file that are read into memory. The rows of a larger one stay on the disk, however much memory
there is, so that training has the same order everywhere. VQA v1's training rows are 0.7 GB."""


@dataclass(frozen=True)
class Features:
    """features: (N, *shape) float16, an array or a read-only map; image_ids: (N,) int64, ascending."""

    features: NDArray[np.float16]
    image_ids: NDArray[np.int64]
    image_names: list[str]
    attributes: dict[str, str]

    def rows(self, image_ids: ArrayLike, missing: int | None = None) -> NDArray[np.int64]:
        """The row of each id. DataError names ids that have none, unless `missing`, their row, is given."""
        wanted = np.asarray(image_ids, np.int64)
        if len(self.image_ids) == 0:
            places, present = np.zeros(wanted.shape, np.int64), np.zeros(wanted.shape, bool)
        else:
            places = np.minimum(np.searchsorted(self.image_ids, wanted), len(self.image_ids) - 1)
            present = self.image_ids[places] == wanted
        if missing is None and not present.all():
            absent = np.unique(wanted[~present])
            raise DataError(
                f"{len(absent):,} image ids have no features: {_some(absent.tolist())}. "
                f"The features are of {len(self.image_ids):,} pictures; do they belong to these questions?"
            )
        return np.where(present, places, -1 if missing is None else missing).astype(np.int64)


def write_features(
    path: Path,
    blocks: Iterable[NDArray[np.float16]],
    image_ids: ArrayLike,
    image_names: Sequence[str],
    shape: Sequence[int],
    attributes: Mapping[str, str],
) -> None:
    """Write `blocks`, arrays (n, *shape) float16 that together hold a row for each id, one at a time.

    Ids must ascend. Equal content gives equal bytes: no times are stored, attributes are sorted, names are
    fixed-length UTF-8. Raises DataError where the blocks do not add up to the ids.
    """
    ids = _checked_ids(image_ids, image_names, str(path))
    with hdf5.create(path) as file:
        rows = _dataset(file, "features", (len(ids), *shape), np.float16)
        done = 0
        for block in blocks:
            if block.dtype != np.float16 or block.shape[1:] != tuple(shape) or done + len(block) > len(ids):
                raise DataError(
                    f"{path}: a block of {block.shape} {block.dtype} at row {done:,}; expected float16 rows "
                    f"of {tuple(shape)}, {len(ids):,} in all."
                )
            rows[done : done + len(block)] = block
            done += len(block)
        if done != len(ids):
            raise DataError(f"{path}: {done:,} rows for {len(ids):,} ids.")
        _describe(file, ids, image_names, attributes)


@dataclass(frozen=True)
class Frame:
    """A feature file without its rows: `head` is before them, `tail` after them, `rows` is where their bytes go."""

    head: bytes
    tail: bytes
    rows: range

    def size(self) -> int:
        """Bytes of the whole file."""
        return self.rows.stop + len(self.tail)


def feature_frame(
    image_ids: ArrayLike,
    image_names: Sequence[str],
    shape: Sequence[int],
    attributes: Mapping[str, str],
    folder: Path,
) -> Frame:
    """The bytes that `write_features` would put around the rows, of which there must be at least one.

    Writing these bytes and each row at its place gives exactly that file. They are found by writing a file without a
    name, with a hole for the rows, in `folder`.
    """
    ids = _checked_ids(image_ids, image_names, "features")
    with TemporaryFile(dir=folder, buffering=0) as sparse:
        with hdf5.create(sparse.fileno()) as file:
            rows = _dataset(file, "features", (len(ids), *shape), np.float16)
            rows[(0,) * rows.ndim] = 0  # HDF5 allocates all values when the first is written
            _describe(file, ids, image_names, attributes)
            start = rows.id.get_offset()
            places = range(start, start + rows.nbytes)
        size = os.fstat(sparse.fileno()).st_size
        head = os.pread(sparse.fileno(), places.start, 0)
        tail = os.pread(sparse.fileno(), size - places.stop, places.stop)
        return Frame(head, tail, places)


def _checked_ids(image_ids: ArrayLike, image_names: Sequence[str], where: str) -> NDArray[np.int64]:
    ids = np.asarray(image_ids, np.int64)
    if len(ids) != len(image_names) or (np.diff(ids) <= 0).any():
        raise DataError(
            f"{where}: {len(ids):,} ids, {len(image_names):,} names; expected as many, and ids that ascend."
        )
    return ids


def _describe(
    file: h5py.File, ids: NDArray[np.int64], image_names: Sequence[str], attributes: Mapping[str, str]
) -> None:
    """All but the rows, which have their place before it."""
    _dataset(file, "image_ids", ids.shape, np.int64)[:] = ids
    encoded = [name.encode() for name in image_names]
    text = h5py.string_dtype("utf-8", max([1, *map(len, encoded)]))
    _dataset(file, "image_names", (len(encoded),), text)[:] = np.array(encoded, text)
    for name in sorted(attributes):
        file.attrs[name] = attributes[name]


def read_features(path: Path, in_memory: int | None = None) -> Features:
    """Open a feature file: rows in memory up to `in_memory` bytes (IN_MEMORY), else mapped at the dataset's offset.

    Neither holds the file open, so a worker may be forked. Raises DataError for a file of another form.
    """
    try:
        with h5py.File(path, "r") as file:
            ids = np.asarray(file["image_ids"][:], np.int64)
            names = [name.decode() for name in file["image_names"][:]]
            attributes = {name: str(value) for name, value in file.attrs.items()}
            rows = _rows(path, file["features"], IN_MEMORY if in_memory is None else in_memory)
    except (OSError, KeyError, AttributeError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: not a feature file ({error}). Expected HDF5 with features, image_ids and image_names; "
            "docs/features.md says how to write one."
        ) from error
    if not len(rows) == len(ids) == len(names) or (np.diff(ids) <= 0).any():
        raise DataError(
            f"{path}: {len(rows):,} rows, {len(ids):,} image_ids, {len(names):,} image_names; "
            "expected as many of each, and ids that ascend."
        )
    return Features(rows, ids, names, attributes)


def _rows(path: Path, dataset: h5py.Dataset, in_memory: int) -> NDArray[np.float16]:
    if dataset.dtype != np.float16:
        raise DataError(f"{path}: features are {dataset.dtype}; expected float16.")
    if dataset.nbytes <= in_memory:
        return np.asarray(dataset[...])
    offset = dataset.id.get_offset()
    if offset is None:
        raise DataError(
            f"{path}: {dataset.nbytes:,} bytes of features in chunks, which can't be mapped. "
            "Write them contiguous and uncompressed (docs/features.md)."
        )
    return np.memmap(path, np.float16, "r", offset, dataset.shape)


def _dataset(file: h5py.File, name: str, shape: tuple[int, ...], dtype: object) -> h5py.Dataset:
    """Contiguous, and without the time of writing."""
    return file.create_dataset(name, shape, dtype, track_times=False)


def _some(values: list[int], most: int = 10) -> str:
    more = f" and {len(values) - most:,} more" if len(values) > most else ""
    return ", ".join(map(str, values[:most])) + more
