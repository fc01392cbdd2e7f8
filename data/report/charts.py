"""Training curves as the numbers of an inline SVG: a chart that is part of the page follows its colours and width."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

WIDTH, HEIGHT = 420, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 12, 28
_CURVES = {
    "loss": ("Loss", "nats", ("loss", "held_out_loss")),
    "exact_match": ("Exact match", "share of questions", ("exact_match",)),
    "held_out_accuracy": ("Official accuracy", "percent of what was held out", ("held_out_accuracy",)),
}
"""Of each chart: title, unit, and the columns of the history."""
_TOPS = {"exact_match": 1.0, "held_out_accuracy": 100.0}


History = Sequence[Mapping[str, float]]


def charts(history: History) -> list[dict[str, Any]]:
    """One chart each for loss and exact match; where questions were held out, with their loss and accuracy."""
    return compared_charts({"": history})


def compared_charts(histories: Mapping[str, History]) -> list[dict[str, Any]]:
    """The same with the curves of several trainings in one chart, by name; the first and the second are coloured."""
    drawn = {name: history for name, history in histories.items() if history}
    return [_chart(name, drawn) for name in _CURVES if any(name in rows[0] for rows in drawn.values())]


def _chart(name: str, histories: Mapping[str, History]) -> dict[str, Any]:
    curves = [
        (run, column, history)
        for run, history in histories.items()
        for column in _CURVES[name][2]
        if column in history[0]
    ]
    epochs = [row["epoch"] for history in histories.values() for row in history]
    values = [row[column] for _, column, rows in curves for row in rows if math.isfinite(row[column])]
    first, last = min(epochs), max(epochs)
    top = _TOPS.get(name) or max(values, default=1.0)
    marks = ticks(0.0, top)
    across = _scale(first, last, _LEFT, WIDTH - _RIGHT)
    up = _scale(0.0, max(top, marks[-1]), HEIGHT - _BOTTOM, _TOP)
    title, unit, _ = _CURVES[name]
    place_of = dict(zip(histories, ("first", "second"), strict=False))
    return {
        "title": title,
        "unit": unit,
        "width": WIDTH,
        "height": HEIGHT,
        "left": _LEFT,
        "right": WIDTH - _RIGHT,
        "base": HEIGHT - _BOTTOM,
        "rows": [{"y": up(mark), "label": f"{mark:g}"} for mark in marks],
        "columns": [{"x": across(mark), "label": f"{mark:g}"} for mark in _whole_ticks(first, last)],
        "series": [
            _series(column, history, across, up) | {"run": run, "place": place_of[run] if run else ""}
            for run, column, history in curves
        ],
    }


def _series(column: str, history: History, across: Any, up: Any) -> dict[str, Any]:
    points = [(across(row["epoch"]), up(row[column])) for row in history if math.isfinite(row[column])]
    held_out, last = column.startswith("held_out_"), history[-1]
    label = "held out" if held_out else "training, with dropout"
    if column == "held_out_accuracy":
        last = max(history, key=lambda row: (row[column], -row["epoch"]))
        label = f"held out, best after epoch {last['epoch']:g}"
    return {
        "label": label,
        "kind": "held-out" if held_out else "training",
        "points": " ".join(f"{x:.1f},{y:.1f}" for x, y in points),
        "dots": points if len(points) <= 30 else points[-1:],
        "last": last[column],
    }


def _scale(low: float, high: float, first: float, last: float) -> Any:
    """A linear map of low..high to first..last; a single value lies in the middle."""
    if high == low:
        return lambda value: (first + last) / 2
    return lambda value: first + (value - low) / (high - low) * (last - first)


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers from `low` on that cover `high`, at most about `most`."""
    rough = (high - low) / most or 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    count = math.ceil((high - low) / step - 1e-9)
    return [round(low + step * k, 10) for k in range(max(1, count) + 1)]


def _whole_ticks(first: float, last: float) -> list[float]:
    step = max(1, math.ceil((last - first) / 8))
    return [first + step * k for k in range(int((last - first) // step) + 1)]
