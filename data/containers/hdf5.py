"""HDF5 files written so that a full disk is an OSError like any other.

HDF5 itself writes its last bytes while it closes. If the disk refuses them, h5py raises a RuntimeError, keeps the file
open (the space of a deleted file stays taken), and the process ends in a segmentation fault (h5py 3.16, HDF5 2.0).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py


@contextmanager
def create(path: Path | int) -> Iterator[h5py.File]:
    """A new HDF5 file to fill, at a path or in an open file, which stays open.

    OSError, after everything is closed, if the system refused any of its bytes.
    """
    with _Disk(path, "w+", closefd=not isinstance(path, int)) as disk:
        try:
            with h5py.File(disk, "w", track_order=False) as file:
                yield file
        finally:
            if disk.refused:
                raise disk.refused


class _Disk(io.FileIO):
    """Takes every byte, and remembers the first refusal: HDF5 never sees one, so it always closes properly."""

    refused: OSError | None = None

    def write(self, content: Any) -> int:
        left = memoryview(content).cast("B")
        size = len(left)
        try:
            while left and not self.refused:
                left = left[super().write(left) :]
        except OSError as error:
            self._refuse(error)
        return size

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self._refuse(error)
            return size or 0

    def _refuse(self, error: OSError) -> None:
        where = None if isinstance(self.name, int) else str(self.name)
        self.refused = self.refused or OSError(error.errno, error.strerror, where)
