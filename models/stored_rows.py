"""Rows of a table that lies in a file, read where they are asked for: none of the file's pages are mapped.

Mapped pages are read one fault after the other, count as the process's memory, and end the process without a word
where the file has been cut short or the disk fails.
"""

from __future__ import annotations

import os
import weakref
from concurrent.futures import Future
from functools import partial
from pathlib import Path

import numpy as np

from data.base.errors import DataError
from data.base.storage import persist


class StoredRows:
    """(N, *shape) rows of a file, which any number of threads may read at once."""

    def __init__(self, mapped: np.memmap) -> None:
        """mapped: the rows as a contiguous np.memmap, or a part of one; none of its pages are touched."""
        root = mapped
        while isinstance(root.base, np.memmap):
            root = root.base
        self.path = Path(str(root.filename))
        self.start = root.offset + mapped.ctypes.data - root.ctypes.data
        self.shape, self.dtype, self.nbytes = mapped.shape, mapped.dtype, mapped.nbytes
        self.handle = persist(self.path, lambda: os.open(self.path, os.O_RDONLY | os.O_CLOEXEC))
        weakref.finalize(self, os.close, self.handle)

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, first: int, out: np.ndarray) -> None:
        """Fill `out` (n, *shape) with the rows from number `first` on. DataError where they can't be read."""
        left = out.data.cast("B")
        place = self.start + first * (self.nbytes // len(self))
        while left:
            count = persist(self.path, partial(os.preadv, self.handle, [left], place))
            if not count:
                raise DataError(
                    f"{self.path}: ends at byte {place:,}; expected rows up to byte {self.start + self.nbytes:,}. "
                    "It was cut short while it was read; run again: a damaged artifact is found and made anew."
                )
            left, place = left[count:], place + count


Part = np.ndarray | StoredRows


def stored(rows: np.ndarray) -> Part:
    """Rows of a file by way of reads; what lies in memory stays as it is."""
    if isinstance(rows, np.memmap) and rows.filename and rows.flags.c_contiguous and rows.size:
        return StoredRows(rows)
    return rows


def read_part(part: Part, first: int, out: np.ndarray) -> None:
    """Fill `out` with the rows of a part from number `first` on."""
    if isinstance(part, StoredRows):
        part.read(first, out)
    else:
        out[...] = part[first : first + len(out)]


class Load:
    """Rows on their way into `out`: `wait` for them, or `cancel` what has not begun."""

    def __init__(self, out: np.ndarray, reads: list[Future[None]]) -> None:
        self.out, self.reads = out, reads

    def wait(self) -> np.ndarray:
        """The rows. Raises what any of the reads raised."""
        try:
            for read in self.reads:
                read.result()
        except BaseException:
            self.cancel()
            raise
        return self.out

    def cancel(self) -> None:
        for read in self.reads:
            read.cancel()
