"""How much a table of your own holds, before it is converted: no picture is looked for."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path

from data.own.official_questions import OwnQuestion
from data.own.tables import read_rows
from data.text.official_json import read_questions_as


def table_size(path: Path, official: bool) -> tuple[int, int]:
    """The number of questions, and of pictures by the names (or ids) that the table gives them.

    Rows that can't be used count too: what converts the table refuses them. DataError where it can't be read at all.
    """
    images: list[Hashable]
    if official:
        questions = read_questions_as(OwnQuestion, path, malformed=[])
        images = [next(iter(question.files()), question.image_id) for question in questions]
    else:
        images = [row.image for row in read_rows(path)[0]]
    return len(images), len(set(images))
