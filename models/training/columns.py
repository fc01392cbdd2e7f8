"""The arrays of a training run, a row a question: batches are picked where the rows lie."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from models.devices import send

ROOM = 0.25  # share of a GPU's free memory that they may take: the features come after them


class Columns:
    """Arrays of Q rows by name. On a GPU with room for them they lie in its memory, and a batch costs no copy.

    `epoch` sets the order of the questions, sent once; then `batch` and `host` pick rows of one batch after another.
    """

    def __init__(self, arrays: dict[str, np.ndarray], device: torch.device) -> None:
        self.arrays, self.device = arrays, device
        self.resident = {name: send(array, device) for name, array in arrays.items()} if self._fit() else None
        self.order, self.sent = np.zeros(0, np.int64), torch.zeros(0, dtype=torch.int64)
        self.part = slice(0, 0)

    def batches(self, order: np.ndarray, size: int) -> Iterator[int]:
        """Go through the questions in this order; yields the size of each batch, whose rows can then be picked."""
        self.order = order
        if self.resident is not None:
            self.sent = send(order, self.device)
        for start in range(0, len(order), size):
            self.part = slice(start, start + size)
            yield len(order[self.part])

    def host(self, name: str) -> np.ndarray:
        """The batch's rows of an array, in memory."""
        return self.arrays[name][self.order[self.part]]

    def pick(self, name: str) -> Tensor:
        """The batch's rows of an array, on the device."""
        if self.resident is None:
            return send(self.host(name), self.device)
        return self.resident[name].index_select(0, self.sent[self.part])

    def _fit(self) -> bool:
        if self.device.type != "cuda":
            return False
        free, _ = torch.cuda.mem_get_info(self.device)
        return sum(array.nbytes for array in self.arrays.values()) <= ROOM * free
