"""Text for people: control characters made visible, sizes and durations, the name that was probably meant."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, TextIO

_BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # change the direction of the text that follows
_CONTROLS = f"\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029{_BIDI}\ud800-\udfff"
CONTROLS = re.compile(f"[{_CONTROLS}]")
"""What changes a terminal's colours, place or order, or can't be encoded; tab and line feed aside."""
_NOT_IN_A_LINE = re.compile(f"[\t\n{_CONTROLS}]")


class Lines(str):
    """Text with intended line breaks; each line is made visible by itself."""

    def __new__(cls, *lines: object) -> Lines:
        return super().__new__(cls, "\n".join(map(visible, lines)))


def visible(text: object) -> str:
    """`text` as one line, whatever characters are in it: a name from outside can neither begin a line nor colour it."""
    return text if isinstance(text, Lines) else _NOT_IN_A_LINE.sub(escape, str(text))


def escape(match: re.Match[str]) -> str:
    """A control character as JSON and Python write it, so that printed JSON stays JSON."""
    short = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}
    return short.get(match[0]) or f"\\u{ord(match[0]):04x}"


def show(*texts: object, file: TextIO | None = None) -> None:
    """Print each text as a line (`Lines` as several): the one way in which commands print."""
    print(*map(visible, texts), sep="\n", file=file, flush=True)


def show_json(value: Any) -> None:
    """Print JSON, for people and programs."""
    show(*json.dumps(value, indent=1).split("\n"))


def nearest(name: str, valid: Sequence[str], cutoff: float = 0.6) -> str:
    """The closest match in `valid`; '' if none is as similar as `cutoff`, 0 to 1."""
    return next(iter(get_close_matches(name, valid, n=1, cutoff=cutoff)), "")


def counted(number: int, noun: str, plural: str = "") -> str:
    """(1234, 'question') → '1,234 questions', (1, 'question') → '1 question'; `plural` where an s does not make it."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


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
