"""Training from a table that stays on the disk: block by block, so that an epoch reads it once.

A block is pictures from all over the table, some neighbours at a time, as many as lie in memory well. An epoch goes
through the blocks in an order of its own, and through the questions about a block's pictures in an order of its own.
While a block is trained on, threads read the next.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from models.devices import on_device
from models.feature_table import Features
from models.stored_rows import Load

BLOCK_BYTES = 512 << 20  # two are in memory at a time
RUNS = 128  # of neighbours in a block: of 4 MiB, which a disk reads at full speed


def block_pictures(features: Features | None, batch: int) -> int:
    """Pictures in a block; 0 where questions are shuffled as a whole: their table is in memory, or not larger than a
    block. It depends on the table and the batch alone, so that a run has one order wherever it goes on."""
    if features is None or not features.stored:
        return 0
    pictures = max(BLOCK_BYTES // features.row_bytes, batch)  # so that a batch meets two at the most
    return pictures if pictures < features.shape[0] else 0


class EpochRows:
    """The pictures' rows of one epoch's batches, which ask for them in the order of `questions`.

    questions: numbers of the epoch's questions, in the order in which they are trained on.
    """

    def __init__(self, features: Features | None, questions: np.ndarray) -> None:
        self.features, self.questions = features, questions

    def gather(self, rows: np.ndarray | Tensor) -> Tensor:
        """(B,) row numbers of the next batch to (B, *shape), as `Features.gather`."""
        assert self.features is not None
        return self.features.gather(rows)

    def facts(self) -> dict[str, float]:
        """What the epoch's history row says of it."""
        return {}

    def note(self) -> str:
        """What the progress line says of it."""
        return ""

    def close(self) -> None:
        """Read nothing more."""


class BlockRows(EpochRows):
    """Rows that come in blocks: two lie in memory, the one in use and the next, which threads read meanwhile."""

    def __init__(self, features: Features, questions: np.ndarray, blocks: list[np.ndarray]) -> None:
        super().__init__(features, questions)
        self.blocks, self.loads = blocks, list[Load]()
        self.ready, self.waited, self.began = 0, 0.0, time.perf_counter()
        self.half = max(map(len, blocks))
        self.block_of, self.place_of = block_places(blocks, features.shape[0], self.half)
        on_gpu = features.device.type == "cuda"
        dtype = torch.from_numpy(np.empty(0, features.parts[0].dtype)).dtype
        self.rows = torch.empty(2 * self.half, *features.shape[1:], dtype=dtype, pin_memory=on_gpu)
        self.on_device = torch.empty_like(self.rows, device=features.device) if on_gpu else self.rows

    def gather(self, rows: np.ndarray | Tensor) -> Tensor:
        rows = np.asarray(rows)
        first, last = int(self.block_of[rows].min()), int(self.block_of[rows].max())
        while len(self.loads) < min(
            first + 2, len(self.blocks)
        ):  # the half of the block before `first` is free
            self.loads.append(self._load(len(self.loads)))
        while self.ready <= last:
            self._await()
        places = self.place_of[rows]
        if (
            self.on_device is self.rows
        ):  # numpy copies float16 a hundred times as fast as torch's index_select
            return torch.from_numpy(np.take(self.rows.numpy(), places, axis=0))
        return self.on_device.index_select(0, on_device(places, self.on_device.device))

    def facts(self) -> dict[str, float]:
        return {"seconds_waited_for_rows": self.waited}

    def note(self) -> str:
        return f", {self.waited / (time.perf_counter() - self.began):.1%} waiting for the disk"

    def close(self) -> None:
        for load in self.loads[self.ready :]:
            load.cancel()
        self.loads, self.rows, self.on_device = [], torch.empty(0), torch.empty(0)  # frees both halves

    def _part(self, number: int) -> slice:
        start = number % 2 * self.half
        return slice(start, start + len(self.blocks[number]))

    def _load(self, number: int) -> Load:
        assert self.features is not None
        return self.features.load(self.blocks[number], self.rows[self._part(number)].numpy())

    def _await(self) -> None:
        began = time.perf_counter()
        self.loads[self.ready].wait()
        if self.on_device is not self.rows:
            part = self._part(self.ready)
            self.on_device[part].copy_(self.rows[part])  # waits, so that the half can be read into again
        self.waited += time.perf_counter() - began
        self.ready += 1


@contextmanager
def epoch_rows(
    features: Features | None, questions: np.ndarray, rows: np.ndarray, pictures: int, seed: int
) -> Iterator[EpochRows]:
    """How an epoch goes through `questions`, already shuffled, and reads their pictures `rows` (Q,).

    pictures: `block_pictures`. Whatever ends the epoch ends its reads, too.
    """
    opened = EpochRows(features, questions)
    if pictures and features is not None:
        blocks = picture_blocks(rows[questions], pictures, seed)
        in_order = by_block(questions, rows, blocks)
        if features.resident is not None:  # the order does not depend on the device
            opened = EpochRows(features, in_order)
        else:
            opened = BlockRows(features, in_order, blocks)
    try:
        yield opened
    finally:
        opened.close()


def picture_blocks(rows: np.ndarray, pictures: int, seed: int) -> list[np.ndarray]:
    """The distinct ones of `rows` in shuffled blocks of `pictures` (the last may have fewer), each ascending."""
    distinct = np.unique(rows)
    run = np.arange(len(distinct)) // max(1, pictures // RUNS)
    turn = np.random.default_rng([seed, 1]).permutation(run[-1] + 1)[run]
    shuffled = distinct[np.argsort(turn, kind="stable")]
    return [np.sort(shuffled[i : i + pictures]) for i in range(0, len(shuffled), pictures)]


def by_block(questions: np.ndarray, rows: np.ndarray, blocks: list[np.ndarray]) -> np.ndarray:
    """Shuffled questions block by block; within a block they stay as they are."""
    block_of, _ = block_places(blocks, int(rows.max()) + 1)
    return questions[np.argsort(block_of[rows[questions]], kind="stable")]


def block_places(blocks: list[np.ndarray], table: int, half: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """For each row of a table of so many its block, and its place where blocks alternate between two halves."""
    block_of, place_of = np.full(table, -1), np.full(table, -1)
    for number, block in enumerate(blocks):
        block_of[block] = number
        place_of[block] = number % 2 * half + np.arange(len(block))
    return block_of, place_of
