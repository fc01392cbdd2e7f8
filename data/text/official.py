"""One entry of the official questions and annotations files, checked field by field."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import msgspec

HUMANS = 10
"""Answers that every official question has; own data may have fewer."""

SHOWN = 3  # faults that an error message spells out

Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
ABSENT = -1
"""In the place of an image_id that own data leaves out."""


class Question(msgspec.Struct, frozen=True, gc=False):
    """One entry of a questions file. `multiple_choices`: v1's 18 choices, in files of that task only."""

    question_id: Id
    image_id: Id
    question: str
    multiple_choices: tuple[str, ...] | None = None


class Annotation(msgspec.Struct, frozen=True, gc=False):
    """One entry of an annotations file; `answers` are the humans' raw strings.

    `question_type` is "" where own data has none and `in_order` has not yet seen the question.
    """

    question_id: int
    image_id: int
    question_type: str
    answer_type: str
    multiple_choice_answer: str
    answers: tuple[str, ...]


def repeated_ids(entries: Sequence[Any]) -> list[int]:
    """Ids that entries have after another entry had them."""
    ids = [entry.question_id for entry in entries]
    if len(set(ids)) == len(ids):
        return []
    return [number for number, times in Counter(ids).items() for _ in range(times - 1)]


def counted_ids(ids: Sequence[int], of: int, what: str) -> str:
    return f"{len(ids):,} of {of:,} {what} (question_id {first_ids(ids)}) have"


def first_ids(ids: Iterable[int]) -> str:
    listed = list(ids)
    return ", ".join(map(str, listed[:SHOWN])) + (", ..." if len(listed) > SHOWN else "")
