"""The rows of a .csv as spreadsheets and libraries write it: with commas, semicolons or tabs between its cells."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from data.base.errors import DataError, listed

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab"}
NO_NAME = "one without a name"  # such as the index that pandas and R write

_REWINDS = 1000  # rows that are not CSV and may have swallowed others
_FIRST = 1 << 24  # characters within which the names must be
_MOST = 16_384  # columns: what a sheet of Excel or LibreOffice has


def delimited_rows(
    path: Path, text: str, needed: Sequence[str], others: Sequence[str], unread: dict[str, None]
) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """The number of each row that is not blank, and its texts by column (answers as a list), or why it has none.

    Rows count from 1, the column names' own included, as a spreadsheet shows them. The separator is what Excel's
    first line `sep=;` says, else the one with which the names are found. Names of columns that are neither in `needed`
    nor `others` are put into `unread`. DataError where a column is missing or there twice.
    """
    text, separator = _separator(text, needed)
    records = _records(text, separator)
    header = _header(records)
    _check_header(path, header, needed, others)
    places = {name: place for place, name in enumerate(header) if name in needed or name in others}
    unread |= dict.fromkeys(name or NO_NAME for name in header if name not in places)
    for number, cells in records:
        yield number, cells if isinstance(cells, str) else _values(cells, len(header), places, separator)


def _values(cells: list[str], width: int, places: dict[str, int], separator: str) -> dict[str, Any] | str:
    """Cells that are missing at a row's end, as Excel leaves them out, count as empty."""
    if len(cells) > width:
        return f"{len(cells)} cells, expected {width}: a text with a {SEPARATORS[separator]} needs quotes"
    values: dict[str, Any] = {name: cells[at] if at < len(cells) else "" for name, at in places.items()}
    return {**values, "answer": values["answer"].split("|")}


def _separator(text: str, needed: Sequence[str]) -> tuple[str, str]:
    """The text after Excel's own first line, and what separates its cells."""
    first, _, rest = text.partition("\n")
    stated = first.strip().strip('"')
    if stated.lower().startswith("sep=") and stated[4:5] in SEPARATORS:
        return rest, stated[4:5]
    if first.rstrip("\r\n").lower().startswith("sep=\t"):
        return rest, "\t"
    headers = {separator: _header(_records(text[:_FIRST], separator)) for separator in SEPARATORS}
    fits = [separator for separator, names in headers.items() if set(needed) <= set(names)]
    return text, fits[0] if fits else max(SEPARATORS, key=lambda separator: len(headers[separator]))


def _header(records: Iterator[tuple[int, list[str] | str]]) -> list[str]:
    """The names in the first row, in lower case."""
    _, cells = next(records, (1, []))
    return [] if isinstance(cells, str) else [name.strip().lower() for name in cells]


def _records(text: str, separator: str) -> Iterator[tuple[int, list[str] | str]]:
    """The number of each row that is not blank, and its cells without empty ones at the end, or why it has none.

    After a row that is not CSV, reading goes on with the next line: a quote that is never closed hides no other row.
    """
    file, line, rewinds = io.StringIO(text, newline=""), 1, _REWINDS
    for number in count(1):
        start, reader = file.tell(), csv.reader(file, delimiter=separator, strict=True)
        try:
            cells = _next(reader, len(text))
        except csv.Error as error:
            yield number, f"not CSV at line {line} ({error}): a quote inside a text is written twice"
            lines, rewinds = (1, rewinds - 1) if rewinds else (reader.line_num, 0)
            if lines < reader.line_num:
                file.seek(start)
                file.readline()
            line += lines
            continue
        if cells is None:
            return
        line += reader.line_num
        while cells and not cells[-1].strip():
            cells.pop()
        if cells:
            yield number, cells


def _next(reader: Iterator[list[str]], longest: int) -> list[str] | None:
    """The next row's cells, each of any length; None after the last. csv's limit is global to the process."""
    limit = csv.field_size_limit(max(longest, 1))
    try:
        return next(reader, None)
    finally:
        csv.field_size_limit(limit)


def _check_header(path: Path, header: list[str], needed: Sequence[str], others: Sequence[str]) -> None:
    if len(header) > _MOST:
        raise DataError(f"{path}: row 1 has {len(header):,} columns; at most {_MOST:,} are read")
    if missing := [name for name in needed if name not in header]:
        names = listed([repr(name[:40]) for name in header]) or "nothing"
        raise DataError(
            f"{path}: row 1 has no column {', '.join(missing)}; found {names}; expected {', '.join(needed)} (and "
            f"{', '.join(others)} where known), with commas, semicolons or tabs between"
        )
    times = Counter(header)
    if twice := [name for name in (*needed, *others) if times[name] > 1]:
        raise DataError(f"{path}: row 1 has the column {twice[0]} twice")
