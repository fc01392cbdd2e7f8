"""Picture features as they are stored, gathered row by row onto the model's device."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from data.base.errors import ModelError
from models.devices import on_device, send
from models.stored_rows import Load, StoredRows, read_part, stored

BLOCK = 1024  # rows at a time where all are read
BLOCK_BYTES = 1 << 24  # of float16, where statistics are taken: four times as many in float64
READ_BYTES = 4 << 20  # of a file that a thread reads at a time
READERS = 4  # threads that do
ROUNDING = 1e-7
ROOM = 0.5  # share of a GPU's free memory that the features may take

Arrays = np.ndarray | Sequence[np.ndarray]


class Features:
    """A table of picture features, (N, *shape) in one array or several one behind the other (the training and
    validation pictures of a trainval model), in memory or memory-mapped: rows of a mapped one are read, not mapped.

    On a GPU with room for them the rows lie in its memory. Raises ModelError where arrays differ in shape, and, when
    they are read, for rows that are not finite; DataError where a file can't be read.
    """

    def __init__(self, parts: Arrays, device: torch.device) -> None:
        self.parts = [stored(part) for part in ([parts] if isinstance(parts, np.ndarray) else parts)]
        if len({part.shape[1:] for part in self.parts}) != 1:
            raise ModelError("The image sets have features of different shapes; extract them with one layer.")
        self.device = device
        self.shape = (sum(len(part) for part in self.parts), *self.parts[0].shape[1:])
        self.starts = np.cumsum([0, *(len(part) for part in self.parts)])
        self.stored = any(isinstance(part, StoredRows) for part in self.parts)
        self.pool = ThreadPoolExecutor(READERS, "rows") if self.stored else None
        self.resident = self._upload() if device.type == "cuda" else None

    @property
    def row_bytes(self) -> int:
        """Bytes of a picture's features as they are stored."""
        return math.prod(self.shape[1:]) * self.parts[0].dtype.itemsize

    def check(self, rows: np.ndarray) -> None:
        """Raise ModelError where a row number lies outside the table."""
        if len(rows) and not 0 <= rows.min() <= rows.max() < self.shape[0]:
            raise ModelError(
                f"The questions ask for picture rows {rows.min()} to {rows.max()}, but the features have "
                f"{self.shape[0]} rows. Extract the features of all pictures that are asked about."
            )

    def gather(self, rows: np.ndarray | Tensor) -> Tensor:
        """(B,) row numbers to (B, *shape), of the type in which they are stored.

        The numbers may be on the device already where the rows are: `resident`.
        """
        if self.resident is not None:
            return self.resident.index_select(0, on_device(rows, self.device))
        return send(self._take(np.asarray(rows)), self.device)

    def stream(self, rows: np.ndarray, size: int) -> Iterator[Tensor]:
        """`gather` of ascending, distinct rows, `size` at a time; of a file, the next are read while these are used."""
        batches = [rows[i : i + size] for i in range(0, len(rows), size)]
        if self.pool is None or self.resident is not None:
            yield from map(self.gather, batches)
            return
        loads = deque[Load]()
        try:
            for number in range(len(batches)):
                loads.extend(map(self.load, batches[number + len(loads) : number + 2]))
                yield send(loads.popleft().wait(), self.device)
        finally:
            for load in loads:
                load.cancel()

    def load(self, rows: np.ndarray, out: np.ndarray | None = None) -> Load:
        """Let threads read ascending, distinct rows into `out` (B, *shape), or an array of their own."""
        assert self.pool is not None
        out = np.empty((len(rows), *self.shape[1:]), self.parts[0].dtype) if out is None else out
        size = max(1, READ_BYTES // self.row_bytes)
        pieces = [slice(i, i + size) for i in range(0, len(rows), size)]
        return Load(out, [self.pool.submit(self._read, rows[piece], out[piece]) for piece in pieces])

    def _read(self, rows: np.ndarray, out: np.ndarray) -> None:
        """Fill `out` with ascending, distinct rows; neighbours in one file by one read."""
        part_of = np.searchsorted(self.starts, rows, side="right") - 1
        apart = np.flatnonzero((np.diff(rows) != 1) | (np.diff(part_of) != 0)) + 1
        for first, stop in pairwise([0, *apart.tolist(), len(rows)]):
            number = part_of[first]
            read_part(self.parts[number], int(rows[first] - self.starts[number]), out[first:stop])
        check_finite(out, rows)

    def _take(self, rows: np.ndarray) -> np.ndarray:
        if self.pool is not None:
            distinct, places = np.unique(rows, return_inverse=True)
            return np.take(self.load(distinct).wait(), places, axis=0)
        taken = self._take_from_memory(rows)
        check_finite(taken, rows)
        return taken

    def _take_from_memory(self, rows: np.ndarray) -> np.ndarray:
        parts = [part for part in self.parts if isinstance(part, np.ndarray)]
        if len(parts) == 1:
            return np.take(parts[0], rows, axis=0)
        taken = np.empty((len(rows), *self.shape[1:]), parts[0].dtype)
        for part, start, stop in zip(parts, self.starts, self.starts[1:], strict=False):
            here = (rows >= start) & (rows < stop)
            taken[here] = part[rows[here] - start]
        return taken

    def _upload(self) -> Tensor | None:
        free, _ = torch.cuda.mem_get_info(self.device)
        if sum(part.nbytes for part in self.parts) > ROOM * free:
            return None
        whole: Tensor | None = None
        for first in range(0, self.shape[0], BLOCK):
            rows = np.arange(first, min(first + BLOCK, self.shape[0]))
            block = torch.from_numpy(self._take(rows))
            if whole is None:
                whole = torch.empty(self.shape, dtype=block.dtype, device=self.device)
            whole[first : first + len(rows)].copy_(block)
        return whole


def channel_statistics(features: Features, rows: np.ndarray) -> tuple[Tensor, Tensor]:
    """Mean and deviation (C,) float64 of each channel over all places of the pictures in these rows, ascending and
    distinct, in one pass by blocks."""
    count, size = 0, max(1, BLOCK_BYTES // (2 * math.prod(features.shape[1:])))
    sums = torch.zeros(2, features.shape[-1], dtype=torch.float64, device=features.device)
    for block in features.stream(rows, size):
        block = block.double().flatten(0, -2)
        sums += torch.stack([block.sum(dim=0), block.square().sum(dim=0)])
        count += len(block)
    mean, square = sums / count
    deviation = (square - mean.square()).clamp(min=0).sqrt()
    same = deviation <= ROUNDING * square.sqrt()  # what is left of a channel that never differs
    return mean, deviation.masked_fill(same, 0)


Table = Features | Arrays


def open_features(table: Table, device: torch.device) -> Features:
    """The table, ready to gather from."""
    return table if isinstance(table, Features) else Features(table, device)


def check_finite(features: np.ndarray, rows: np.ndarray) -> None:
    """Raise ModelError where one of these rows holds NaN or infinity; `rows` are their numbers in the table."""
    if features.dtype == np.float16:  # all bits of the exponent set: 20 times as fast as numpy's isfinite
        sound = features.size == 0 or int((features.view(np.uint16) & 0x7FFF).max()) < 0x7C00
    else:
        sound = bool(np.isfinite(features).all())
    if not sound:
        bad = np.unique(rows[~np.isfinite(features).reshape(len(features), -1).all(axis=1)])
        raise ModelError(
            f"{len(bad)} rows of the picture features are not finite, the first is row {bad[0]}. "
            "Extract them again."
        )
