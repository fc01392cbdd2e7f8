"""What a run leaves to look at can be looked at."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from models.training.history import draw_curves, write_events, write_history

HISTORY = [
    {"epoch": 1, "loss": 3.5, "exact_match": 0.2, "validation_loss": 3.6, "validation_exact_match": 0.15},
    {"epoch": 2, "loss": 2.5, "exact_match": 0.3, "validation_loss": 3.1, "validation_exact_match": 0.25},
]


def test_history_is_a_line_an_epoch(tmp_path: Path):
    write_history(tmp_path / "history.csv", HISTORY)
    with (tmp_path / "history.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["loss"]) for row in rows] == [3.5, 2.5]


@pytest.mark.parametrize("length", [1, 2])
def test_curves_are_a_picture(tmp_path: Path, length: int):
    draw_curves(tmp_path / "curves.png", HISTORY[:length])
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_tensorboard_reads_the_events(tmp_path: Path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    write_events(tmp_path, HISTORY)
    events = accumulator.EventAccumulator(str(tmp_path))
    events.Reload()
    assert [scalar.value for scalar in events.Scalars("loss")] == [3.5, 2.5]
