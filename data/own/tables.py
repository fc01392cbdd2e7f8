"""Reads a plain table of questions: .csv and similar, or JSON with an object a question."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.base.errors import DataError
from data.containers.documents import inner_name, read_document
from data.own.delimited import delimited_rows
from data.own.json_rows import json_rows
from data.text.official import HUMANS

NEEDED = ("image", "question", "answer")
TYPES = ("answer_type", "question_type")
DELIMITED = (".csv", ".tsv", ".tab", ".txt")
JSON = (".jsonl", ".ndjson", ".json")

_LONGEST = 1 << 20  # characters of a cell
_SHOWN = 60  # characters of a value in a message


@dataclass(frozen=True)
class Row:
    """One question. `number`: the line of JSON lines, else the row as spreadsheets count, a list's first being 1.

    `faults` say why it can't be used; what it lacks is then empty.
    """

    number: int
    image: str = ""
    question: str = ""
    answers: tuple[str, ...] = ()
    answer_type: str = ""
    question_type: str = ""
    faults: tuple[str, ...] = ()


def read_rows(path: Path) -> tuple[list[Row], list[str]]:
    """All rows of a table, stripped of white space around texts, and the names of columns that are not read.

    Rows that can't be used are there too, with their faults: an image, question or answer that is empty or not text,
    more than ten answers, more cells than columns. DataError for a file that is not UTF-8 (or UTF-16 with its mark),
    a column that is missing or there twice, no rows.
    """
    unread: dict[str, None] = {}
    rows = [_row(number, values) for number, values in _values(path, unread)]
    if not rows:
        raise DataError(f"{path}: holds no questions; expected at least one row")
    return rows, list(unread)


def _values(path: Path, unread: dict[str, None]) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """The number of each row, and its values or why it has none. `unread` collects the names of other columns."""
    name, content = inner_name(path).lower(), read_document(path)
    text = _decoded(path, content)
    if name.endswith(JSON):
        return json_rows(path, text, NEEDED, TYPES, unread)
    if name.endswith(DELIMITED):
        return delimited_rows(path, text, NEEDED, TYPES, unread)
    raise DataError(f"{path}: holds {name!r}; expected a name that ends in {', '.join((*DELIMITED, *JSON))}")


def _decoded(path: Path, content: memoryview) -> str:
    try:
        return str(content, "utf-8")
    except UnicodeDecodeError as error:
        before, behind = bytes(content[: error.start]), bytes(content[error.start : error.start + 20])
        word = before[-20:].split()[-1:] if before[-1:].strip() else []
        line = len((before + b".").splitlines())
        reads = b"".join([*word, *behind.split()[:1]]).decode("cp1252", "replace")
        raise DataError(
            f"{path}: line {line} is not UTF-8; as Windows-1252 it would read {reads!r}. Save the "
            "file as UTF-8: in Excel as 'CSV UTF-8', in LibreOffice with the character set 'Unicode (UTF-8)'"
        ) from error


def _row(number: int, values: dict[str, Any] | str) -> Row:
    if isinstance(values, str):
        return Row(number, faults=(values,))
    answer = values.get("answer")
    answers = answer if isinstance(answer, list) else [answer]
    texts = {name: values.get(name) for name in ("image", "question", *TYPES)}
    whys = [_fault(name, value) for name, value in [*texts.items(), *(("answer", item) for item in answers)]]
    if not 1 <= len(answers) <= HUMANS:
        whys.append(f"{len(answers)} answers, expected one to {HUMANS}")
    faults = tuple(dict.fromkeys(why for why in whys if why))
    image, question, answer_type, question_type = map(_stripped, texts.values())
    return Row(number, image, question, tuple(map(_stripped, answers)), answer_type, question_type, faults)


def _fault(name: str, value: Any) -> str:
    """Why a value can't be used, "" if it can."""
    if value is None:
        return f"no {name}" if name in NEEDED else ""
    if not isinstance(value, str):
        text = json.dumps(value)
        return f"{name} {text[:_SHOWN]}{'...' if len(text) > _SHOWN else ''} is not a text: put it in quotes"
    if len(value) > _LONGEST:
        return f"{name} of {len(value):,} characters, expected at most {_LONGEST:,}"
    return f"empty {name}" if name in NEEDED and not value.strip() else ""


def _stripped(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""
