"""What a training run leaves to look at: history.csv, curves.png, TensorBoard events."""

from __future__ import annotations

import csv
import time
from pathlib import Path

from models.training.inputs import History


def write_history(path: Path, history: History) -> None:
    """One line per epoch; the columns are the keys of the rows."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(history[0]))
        writer.writeheader()
        writer.writerows(history)


def draw_curves(path: Path, history: History) -> None:
    """Loss and exact match over the epochs as a PNG, with those on the validation questions where known."""
    from matplotlib.figure import Figure  # no pyplot: a Figure of its own needs no display and leaks nothing

    figure = Figure(figsize=(9, 3.5), layout="constrained")
    epochs = [row["epoch"] for row in history]
    for axes, name in zip(figure.subplots(1, 2), ("loss", "exact_match"), strict=True):
        axes.plot(epochs, [row[name] for row in history], marker="o", label="training, with dropout")
        if f"validation_{name}" in history[0]:
            axes.plot(epochs, [row[f"validation_{name}"] for row in history], marker="o", label="validation")
        axes.set_xlabel("epoch")
        axes.set_title(name.replace("_", " "))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=120)


def write_events(folder: Path, history: History) -> None:
    """The history as TensorBoard events, a scalar per column, for `tensorboard --logdir`.

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
            scalars = [Summary.Value(tag=name, simple_value=row[name]) for name in row if name != "epoch"]
            event = Event(wall_time=now, step=int(row["epoch"]), summary=Summary(value=scalars))
            writer.write(event.SerializeToString())
