"""How sizes and durations are written for people, and which name they may have meant."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches


def nearest(name: str, valid: Sequence[str], cutoff: float = 0.6) -> str:
    """The most alike of `valid`; '' where none is as alike as `cutoff`, 0 to 1."""
    return next(iter(get_close_matches(name, valid, n=1, cutoff=cutoff)), "")


def human_size(size: float) -> str:
    """12345678 → '12.3 MB'."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:,.0f} {unit}" if unit == "bytes" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError


def human_seconds(seconds: float) -> str:
    """4.25 → '4.2 s', 250 → '4 min 10 s', 9000 → '2 h 30 min'."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
