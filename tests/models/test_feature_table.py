"""The table of features that models read: the same rows wherever they lie."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from data.base.errors import ModelError
from models import feature_table
from models.feature_table import Features

CPU = torch.device("cpu")


def table(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, 6)).astype(np.float16)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_rows_have_length_1_and_come_from_the_part_they_lie_in(dtype: type) -> None:
    parts = [table(5).astype(dtype), table(3, 1).astype(dtype)]
    whole = np.concatenate(parts).astype(np.float32)
    found = Features(parts, CPU).gather(np.array([7, 0, 4, 5]))
    expected = whole[[7, 0, 4, 5]] / np.linalg.norm(whole[[7, 0, 4, 5]], axis=1, keepdims=True)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)


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


def test_a_row_of_zeros_stays_zeros_and_what_is_not_finite_is_named() -> None:
    rows = table(4)
    rows[2] = 0
    assert not Features(rows, CPU).gather(np.array([2])).any()
    rows[3, 1] = np.inf
    with pytest.raises(ModelError, match="row 3"):
        Features(rows, CPU)
