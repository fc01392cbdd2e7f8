"""The pictures of one half of the original project's files: those of a run's image sets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.base.errors import DataError
from data.pictures.feature_file import Features
from data.seed_files.write_seed_files import block_rows


class HalfPictures:
    """The pictures of one half: those of its image sets, one set behind the other.

    `names` are the pictures' own; where two sets share one, the set's name stands before each.
    """

    def __init__(self, stores: dict[str, Features], image_sets: list[str]) -> None:
        self.parts: dict[str, tuple[int, Features]] = {}
        self.names: list[str] = []
        for name in image_sets:
            self.parts[name] = (len(self.names), stores[name])
            self.names += stores[name].image_names
        if len(set(self.names)) < len(self.names):
            self.names = [f"{name}/{picture}" for name in image_sets for picture in stores[name].image_names]
        if len({store.features.shape[1:] for _, store in self.parts.values()}) != 1:
            raise DataError(f"{', '.join(image_sets)} have features of different shapes; extract them alike.")

    def rows(self, image_set: str, image_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows from 0 of the half; -1 for a picture that has no features."""
        before, store = self.parts[image_set]
        rows = store.rows(image_ids, missing=-1)
        return np.where(rows < 0, -1, rows + before)

    def content(self) -> tuple[int, int, Iterator[Any]]:
        """Rows, columns, blocks. A grid of features becomes one long row, as the models here see it too."""
        _, first = next(iter(self.parts.values()))
        columns = 1
        for size in first.features.shape[1:]:
            columns *= size
        return len(self.names), columns, self._blocks(columns)

    def _blocks(self, columns: int) -> Iterator[Any]:
        step = block_rows(columns)
        for _, store in self.parts.values():
            for start in range(0, len(store.features), step):
                yield store.features[start : start + step]
