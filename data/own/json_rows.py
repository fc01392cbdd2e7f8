"""The rows of a table in JSON: a list of objects, or an object a line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from data.base.errors import DataError

_BROKEN = (msgspec.DecodeError, UnicodeError, RecursionError)


def json_rows(
    path: Path, text: str, needed: Sequence[str], others: Sequence[str], unread: dict[str, None]
) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """The number of each object (its place in the list from 1, or its line), and its values or why it has none.

    Keys that are neither in `needed` nor `others` are put into `unread`. DataError for a list that is not JSON, and
    for an object that is not a row.
    """
    texts: Iterator[tuple[int, Any]]
    texts = _entries(path, text) if text.lstrip().startswith("[") else _lines(path, text, needed)
    for number, entry in texts:
        try:
            values = msgspec.json.decode(entry)
        except _BROKEN as error:
            yield number, f"not JSON: {error}"
            continue
        if not isinstance(values, dict):
            yield number, "not an object"
            continue
        named = {name.strip().lower(): value for name, value in values.items()}
        unread |= dict.fromkeys(name for name in named if name not in needed and name not in others)
        yield number, named


def _entries(path: Path, text: str) -> Iterator[tuple[int, msgspec.Raw]]:
    try:
        entries = msgspec.json.decode(text, type=list[msgspec.Raw])
    except _BROKEN as error:
        raise DataError(f"{path}: not JSON: {error}; expected a list of rows, or an object a line") from None
    return enumerate(entries, start=1)


def _lines(path: Path, text: str, needed: Sequence[str]) -> Iterator[tuple[int, str]]:
    _check_not_one(path, text, needed)
    return ((number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip())


def _check_not_one(path: Path, text: str, needed: Sequence[str]) -> None:
    """DataError where the file is a single object that is not a row."""
    try:
        whole = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except _BROKEN:
        return
    if "questions" in whole:
        raise DataError(f"{path}: official questions; state their annotations beside them: annotations = ...")
    if not set(needed) & whole.keys():
        raise DataError(
            f"{path}: one object; expected a list of rows, or an object a line, with {', '.join(needed)} "
            "(pandas: to_json(orient='records'))"
        )
