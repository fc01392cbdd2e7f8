"""What a run leaves to look at can be looked at."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from PIL import Image

from models.training.history import distinct_arithmetic, draw_curves, write_events, write_history

HISTORY = [
    {"epoch": 1, "loss": 3.5, "exact_match": 0.2, "held_out_loss": 3.6, "held_out_accuracy": 15.5},
    {"epoch": 2, "loss": 2.5, "exact_match": 0.3, "held_out_loss": 3.1, "held_out_accuracy": 25.5},
]


def test_history_is_a_line_an_epoch(tmp_path: Path):
    write_history(tmp_path / "history.csv", HISTORY)
    with (tmp_path / "history.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["loss"]) for row in rows] == [3.5, 2.5]


def test_a_history_that_an_older_snapshot_began_is_whole(tmp_path: Path):
    later = [{**row, "device": "a CPU", "precision": "float32", "threads": 2} for row in HISTORY[1:]]
    history = [HISTORY[0], *later]
    write_history(tmp_path / "history.csv", history)
    with (tmp_path / "history.csv").open(encoding="utf-8") as file:
        assert [row["device"] for row in csv.DictReader(file)] == ["", "a CPU"]
    assert distinct_arithmetic(history) == [{}, {"device": "a CPU", "precision": "float32", "threads": 2}]
    write_events(tmp_path / "events", history)


@pytest.mark.parametrize("length", [1, 2])
def test_curves_are_a_picture_with_a_plot_more_for_what_was_held_out(tmp_path: Path, length: int):
    plain = [{name: row[name] for name in ("epoch", "loss", "exact_match")} for row in HISTORY]
    widths = []
    for history in (plain, HISTORY):
        draw_curves(tmp_path / "curves.png", history[:length])
        with Image.open(tmp_path / "curves.png") as picture:
            widths.append(picture.width)
    assert widths == [1080, 1620]


def test_tensorboard_reads_the_events(tmp_path: Path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    write_events(tmp_path, HISTORY)
    events = accumulator.EventAccumulator(str(tmp_path))
    events.Reload()
    assert [scalar.value for scalar in events.Scalars("loss")] == [3.5, 2.5]
    assert [scalar.value for scalar in events.Scalars("held_out_accuracy")] == [15.5, 25.5]
