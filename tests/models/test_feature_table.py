"""The table of features that models read: the same rows wherever they lie."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from data.base.errors import ModelError
from models import feature_table
from models.feature_table import Features, channel_statistics

CPU = torch.device("cpu")


def table(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, 6)).astype(np.float16)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_rows_come_as_they_are_stored_from_the_part_they_lie_in(dtype: type) -> None:
    parts = [table(5).astype(dtype), table(3, 1).astype(dtype)]
    rows = Features(parts, CPU).gather(np.array([7, 0, 4, 5])).numpy()
    assert rows.dtype == dtype and np.array_equal(rows, np.concatenate(parts)[[7, 0, 4, 5]])
    grids = [part.reshape(-1, 2, 3) for part in parts]
    assert np.array_equal(Features(grids, CPU).gather(np.array([7, 0])).numpy(), rows[:2].reshape(2, 2, 3))


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_rows_that_lie_on_the_device_are_the_same(monkeypatch: pytest.MonkeyPatch, dtype: type) -> None:
    parts = [table(50).astype(dtype), table(33, 1).astype(dtype)]
    for part in parts:
        part.flags.writeable = False  # as a memory map is
    free = sum(part.nbytes for part in parts) * 2
    monkeypatch.setattr(feature_table, "BLOCK", 16)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, free))
    hosted, resident = Features(parts, CPU), Features(parts, CPU)
    resident.resident = resident._upload()
    rows = np.array([82, 0, 49, 50, 17])
    assert resident.resident is not None and resident.resident.shape == (83, 6)
    assert torch.equal(hosted.gather(rows), resident.gather(rows))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free - 2, free))
    assert resident._upload() is None  # more than half of what is free


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_rows_that_are_not_finite_are_named_where_they_are_read(
    monkeypatch, dtype: type, value: float
) -> None:
    rows = table(9).astype(dtype)
    rows[3, 1] = rows[7, 0] = value
    rows[8] = np.finfo(dtype).max
    opened = Features([rows[:2], rows[2:]], CPU)
    opened.gather(np.array([8, 2]))
    with pytest.raises(ModelError, match=r"2 rows .*the first is row 3"):
        opened.gather(np.array([7, 3, 7, 0]))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1 << 30, 1 << 30))
    with pytest.raises(ModelError, match="row 3"):
        opened._upload()


@pytest.mark.parametrize("shape", [(5,), (2, 3, 5)])
def test_statistics_of_channels_are_those_of_all_places_of_all_tables(monkeypatch, shape):
    monkeypatch.setattr(feature_table, "BLOCK_BYTES", 2 * 7 * math.prod(shape))  # seven rows at a time
    rng = np.random.default_rng(0)
    parts = [rng.normal(3, [0.1, 1, 2, 0, 5], (count, *shape)).astype(np.float16) for count in (20, 13)]
    chosen = np.delete(np.arange(33), [4, 25])  # own data's table has the judged pictures, too
    mean, deviation = channel_statistics(Features(parts, torch.device("cpu")), chosen)
    rows = np.concatenate(parts)[chosen].reshape(-1, 5).astype(np.float64)
    np.testing.assert_allclose(mean.numpy(), rows.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(deviation.numpy(), rows.std(axis=0), rtol=1e-6)
    assert deviation[3] == 0
