"""Reads a plain table of questions: .csv, or .jsonl with an object a line."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from data.base.errors import DataError
from data.base.files import read_text
from data.text.official import HUMANS

NEEDED = ("image", "question", "answer")
COLUMNS = (*NEEDED, "answer_type", "question_type")
_SHOWN = 3  # faults that an error message spells out

Fault = tuple[int, str]
"""A row's number and why it can't be used."""


@dataclass(frozen=True)
class Row:
    """One question. `number`: the line in a .jsonl; in a .csv the row as spreadsheets count, the names being row 1."""

    number: int
    image: str
    question: str
    answers: tuple[str, ...]
    answer_type: str
    question_type: str


def read_rows(path: Path) -> tuple[list[Row], list[str]]:
    """All rows of a table, stripped of white space around texts, and the names of columns that are not read.

    DataError for a file that is not UTF-8 (with or without a byte order mark), a column that is missing or there
    twice, no rows; and, with row numbers and their count, for rows whose image, question or an answer is empty,
    that have more than ten answers, or a number of cells other than the header's.
    """
    cells = _csv(path) if path.suffix.lower() == ".csv" else _jsonl(path)
    rows: list[Row] = []
    faults: list[Fault] = []
    ignored: dict[str, None] = {}
    for number, values in cells:
        row = values if isinstance(values, str) else _row(number, values)
        if isinstance(row, Row):
            rows.append(row)
        else:
            faults.append((number, row))
        if isinstance(values, dict):
            ignored |= dict.fromkeys(name for name in values if name not in COLUMNS)
    if faults:
        raise DataError(faults_text(path, faults, len(rows) + len(faults)))
    if not rows:
        raise DataError(f"{path}: holds no questions; expected at least one row")
    return rows, list(ignored)


def faults_text(path: Path, faults: Sequence[Fault], rows: int) -> str:
    """One line: how many rows, and the first few of them."""
    shown = "; ".join(f"row {number}: {why}" for number, why in faults[:_SHOWN])
    more = f"; and {len(faults) - _SHOWN:,} more" if len(faults) > _SHOWN else ""
    return f"{path}: {len(faults):,} of {rows:,} rows can't be used ({shown}{more})"


def _row(number: int, values: dict[str, Any]) -> Row | str:
    """The row, or why it can't be used."""
    if missing := [name for name in NEEDED if name not in values]:
        return f"no {missing[0]}"
    answers = values["answer"] if isinstance(values["answer"], list) else [values["answer"]]
    texts = {name: values.get(name) or "" for name in COLUMNS if name != "answer"}
    for name, value in [*texts.items(), *(("answer", answer) for answer in answers)]:
        if not isinstance(value, str):
            return f"{name} {json.dumps(value)} is no text"
        if name in NEEDED and not value.strip():
            return f"empty {name}"
    if not 1 <= len(answers) <= HUMANS:
        return f"{len(answers)} answers, expected one to {HUMANS}"
    stripped = {name: value.strip() for name, value in texts.items()}
    return Row(number, answers=tuple(answer.strip() for answer in answers), **stripped)


def _csv(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        _check_header(path, header)
        for number, cells in enumerate(reader, start=2):
            if not cells:  # a blank line
                continue
            if len(cells) != len(header):
                yield number, f"{len(cells)} cells, expected {len(header)}: a text with a comma needs quotes"
                continue
            values = dict(zip(header, cells, strict=True))
            yield number, {**values, "answer": values["answer"].split("|")}
    except csv.Error as error:
        why = f"line {reader.line_num}: {error}; a quote inside a text is written twice"
        raise DataError(f"{path}: can't be read as CSV: {why}") from error


def _check_header(path: Path, header: list[str]) -> None:
    missing = [name for name in NEEDED if name not in header]
    twice = sorted({name for name in header if header.count(name) > 1})
    if missing:
        found = ", ".join(map(repr, header)) or "nothing"
        raise DataError(
            f"{path}: row 1 has no column {', '.join(missing)}; found {found}; expected "
            f"{', '.join(NEEDED)} (and answer_type, question_type where known), with commas between"
        )
    if twice:
        raise DataError(f"{path}: row 1 has the column {twice[0]} twice")


def _jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            values = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            yield number, f"not JSON: {error}"
            continue
        yield number, values if isinstance(values, dict) else "not an object"


def _text(path: Path) -> str:
    content = read_text(path)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(
            f"{path}: line {line} is not UTF-8 (byte {error.start:,}); save the file as UTF-8"
        ) from error
