"""Image features as a model reads them: rows gathered, L2-normalised, float32, on the model's device."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from data.base.errors import ModelError

BLOCK = 4096  # rows at a time where all are read: 64 MB as float32 for 4,096 columns
ROOM = 0.5  # share of a GPU's free memory that the features may take

Arrays = np.ndarray | Sequence[np.ndarray]


class Features:
    """A table of picture features, (N, ...) in one array or several one behind the other (the training and
    validation pictures of a trainval model), in memory or memory-mapped.

    The rows stay float16: a gathered batch is normalised after it became float32. Their lengths are read
    once. On a GPU with room for them the rows lie in its memory. An all-zero row stays zero.
    """

    def __init__(self, parts: Arrays, device: torch.device) -> None:
        arrays = [parts] if isinstance(parts, np.ndarray) else list(parts)
        if len({array.shape[1:] for array in arrays}) != 1:
            raise ModelError("The image sets have features of different shapes; extract them with one layer.")
        self.device = device
        self.shape = (sum(len(array) for array in arrays), *arrays[0].shape[1:])
        self.parts = [array.reshape(len(array), -1) for array in arrays]
        self.starts = np.cumsum([0, *(len(array) for array in arrays)])
        self.scale = torch.from_numpy(np.concatenate([_inverse_lengths(part) for part in self.parts])).to(
            device
        )
        self.resident = self._upload() if device.type == "cuda" else None

    def check(self, rows: np.ndarray) -> None:
        """Raise ModelError where a row number lies outside the table."""
        if len(rows) and not 0 <= rows.min() <= rows.max() < self.shape[0]:
            raise ModelError(
                f"The questions ask for picture rows {rows.min()} to {rows.max()}, but the features have "
                f"{self.shape[0]} rows. Extract the features of all pictures that are asked about."
            )

    def gather(self, rows: np.ndarray) -> Tensor:
        """(B,) row numbers to (B, F) float32 of length 1 each."""
        index = send(rows.astype(np.int64), self.device)
        if self.resident is not None:
            picked = self.resident.index_select(0, index)
        else:
            picked = send(self._take(rows), self.device)
        return picked.float() * self.scale.index_select(0, index)[:, None]

    def _take(self, rows: np.ndarray) -> np.ndarray:
        if len(self.parts) == 1:
            return np.take(self.parts[0], rows, axis=0)
        taken = np.empty((len(rows), self.parts[0].shape[1]), self.parts[0].dtype)
        for part, start, stop in zip(self.parts, self.starts, self.starts[1:], strict=False):
            here = (rows >= start) & (rows < stop)
            taken[here] = part[rows[here] - start]
        return taken

    def _upload(self) -> Tensor | None:
        free, _ = torch.cuda.mem_get_info(self.device)
        if sum(part.nbytes for part in self.parts) > ROOM * free:
            return None
        blocks = [part[i : i + BLOCK] for part in self.parts for i in range(0, len(part), BLOCK)]
        dtype = torch.from_numpy(self.parts[0][:0].copy()).dtype
        whole = torch.empty(self.shape[0], self.parts[0].shape[1], dtype=dtype, device=self.device)
        for place, block in zip(whole.split([len(block) for block in blocks]), blocks, strict=True):
            place.copy_(torch.from_numpy(block.copy()))
        return whole


Table = Features | Arrays


def open_features(table: Table, device: torch.device) -> Features:
    """The table ready to gather from; one that is ready already stays as it is."""
    return table if isinstance(table, Features) else Features(table, device)


def send(array: np.ndarray, device: torch.device) -> Tensor:
    """The array on the device; a GPU gets it from pinned memory, and nobody waits."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def _inverse_lengths(part: np.ndarray) -> np.ndarray:
    """(N,) float32: 1 / length of each row, 0 for a row of zeros. Raises ModelError for NaN or infinity."""
    lengths = np.empty(len(part), np.float32)
    for i in range(0, len(part), BLOCK):
        block = torch.from_numpy(part[i : i + BLOCK].copy()).float()  # numpy takes ten times as long for this
        lengths[i : i + BLOCK] = torch.linalg.vector_norm(block, dim=1).numpy()
    bad = np.flatnonzero(~np.isfinite(lengths))
    if len(bad):
        raise ModelError(
            f"{len(bad)} rows of the image features are not finite, the first is row {bad[0]}. "
            "Extract them anew."
        )
    return np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0)
