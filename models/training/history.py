"""What a training run leaves to look at: history.csv, curves.png, TensorBoard events. Standard library, but to draw."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import Any

History = list[dict[str, Any]]
"""A row an epoch: `epoch`, numbers such as `loss`, and what it was computed with (ARITHMETIC)."""

PANELS = (
    ("loss", ("loss", "held_out_loss")),
    ("exact match", ("exact_match",)),
    ("official accuracy, percent", ("held_out_accuracy",)),
)
"""Of each plot of curves.png: its title and columns."""

ARITHMETIC = ("device", "precision", "threads")


def distinct_arithmetic(history: History) -> list[dict[str, Any]]:
    """What the epochs were computed with, each once: several where a run was continued under other settings.

    Epochs of a snapshot that was written before this was recorded count as one more, unknown.
    """
    settings = [{name: row[name] for name in ARITHMETIC if name in row} for row in history]
    return [each for number, each in enumerate(settings) if each not in settings[:number]]


def write_history(path: Path, history: History) -> None:
    """One line per epoch; the columns are the keys of the rows, empty where an earlier row lacks a later one's."""
    columns = dict.fromkeys(name for row in history for name in row)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(columns))
        writer.writeheader()
        writer.writerows(history)


def draw_curves(path: Path, history: History) -> None:
    """Loss and exact match over the epochs as a PNG; where questions were held out their loss, too, and accuracy."""
    from matplotlib.figure import Figure  # no pyplot: a bare Figure needs no display and leaks nothing

    epochs = [row["epoch"] for row in history]
    panels = [panel for panel in PANELS if any(name in history[0] for name in panel[1])]
    figure = Figure(figsize=(4.5 * len(panels), 3.5), layout="constrained")
    for axes, (title, names) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        for name in (name for name in names if name in history[0]):
            label = "held out" if name.startswith("held_out") else "training, with dropout"
            axes.plot(epochs, [row[name] for row in history], marker="o", label=label)
        axes.set_xlabel("epoch")
        axes.set_title(title)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=120)


def write_events(folder: Path, history: History) -> None:
    """The history as TensorBoard events, a scalar per number, for `tensorboard --logdir`.

    Written here and not by SummaryWriter, whose thread drops what the disk refuses and prints a traceback.
    """
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    now = time.time()
    folder.mkdir(exist_ok=True)
    with (folder / f"events.out.tfevents.{int(now)}").open("wb") as file:
        writer = RecordWriter(file)
        writer.write(Event(wall_time=now, file_version="brain.Event:2").SerializeToString())
        for row in history:
            named = {name: value for name, value in row.items() if name not in ("epoch", *ARITHMETIC)}
            scalars = [Summary.Value(tag=name, simple_value=value) for name, value in named.items()]
            event = Event(wall_time=now, step=int(row["epoch"]), summary=Summary(value=scalars))
            writer.write(event.SerializeToString())
