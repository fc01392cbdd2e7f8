"""Training curves as the numbers of an inline SVG: a chart that is part of the page follows its colours and width."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

WIDTH, HEIGHT = 420, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 12, 28
_CURVES = {"loss": ("Loss", "nats"), "exact_match": ("Exact match", "share of questions")}


def charts(history: Sequence[Mapping[str, float]]) -> list[dict[str, Any]]:
    """One chart each for loss and exact match, of training and, where the history has it, validation."""
    return [_chart(name, history) for name in _CURVES if history and name in history[0]]


def _chart(name: str, history: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    columns = [column for column in (name, f"validation_{name}") if column in history[0]]
    epochs = [row["epoch"] for row in history]
    values = [row[column] for row in history for column in columns if math.isfinite(row[column])]
    top = 1.0 if name == "exact_match" else max(values, default=1.0)
    marks = ticks(0.0, top)
    across = _scale(epochs[0], epochs[-1], _LEFT, WIDTH - _RIGHT)
    up = _scale(0.0, max(top, marks[-1]), HEIGHT - _BOTTOM, _TOP)
    title, unit = _CURVES[name]
    return {
        "title": title,
        "unit": unit,
        "width": WIDTH,
        "height": HEIGHT,
        "left": _LEFT,
        "right": WIDTH - _RIGHT,
        "base": HEIGHT - _BOTTOM,
        "rows": [{"y": up(mark), "label": f"{mark:g}"} for mark in marks],
        "columns": [
            {"x": across(mark), "label": f"{mark:g}"} for mark in _whole_ticks(epochs[0], epochs[-1])
        ],
        "series": [_series(column, history, across, up) for column in columns],
    }


def _series(column: str, history: Sequence[Mapping[str, float]], across: Any, up: Any) -> dict[str, Any]:
    points = [(across(row["epoch"]), up(row[column])) for row in history if math.isfinite(row[column])]
    seen = column.startswith("validation_")
    return {
        "label": "validation" if seen else "training, with dropout",
        "kind": "validation" if seen else "training",
        "points": " ".join(f"{x:.1f},{y:.1f}" for x, y in points),
        "dots": points if len(points) <= 30 else points[-1:],
        "last": history[-1][column],
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
