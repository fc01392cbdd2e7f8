"""The official results format: a JSON list of {"question_id": int, "answer": str}, one for each question.

The evaluation server refuses a file that misses an id or has one too many, hours after it was sent. So every
file is checked here before it is written, and every file that is read is checked before it is scored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from data.base.errors import DataError, listed
from data.containers.documents import read_document
from data.text.official import Question

_FORMAT = 'expected a list of {"question_id": int, "answer": str}, one entry for each question'


class Result(msgspec.Struct, frozen=True):
    """One answer, as the official tools want it."""

    question_id: int
    answer: str


def read_results(path: Path | str) -> list[Result]:
    """The entries of a results file in file order; keys beyond the two are ignored, as the official tools do.

    DataError: no such file, no JSON, no list, or entries of other types (all counted, the first few shown).
    """
    path = Path(path)
    content = read_document(path)
    try:
        return msgspec.json.decode(content, type=list[Result])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{path}: {_why_refused(content, error)}") from None


def validate_results(
    results: Sequence[Result], question_ids: Iterable[int], name: str = "the results"
) -> list[str]:
    """The answers in the order of `question_ids`, when there is exactly one for each and none besides.

    Otherwise DataError with the number of missing, extra and repeated ids and the first few of each.
    """
    wanted, given = list(question_ids), Counter(result.question_id for result in results)
    wanted_set = set(wanted)
    problems = [
        _count_ids("missing", [number for number in wanted if number not in given]),
        _count_ids("not among the questions", [number for number in given if number not in wanted_set]),
        _count_ids("there more than once", [number for number, times in given.items() if times > 1]),
    ]
    summary = "; ".join(problem for problem in problems if problem)
    if summary:
        raise DataError(
            f"{name} do not fit the questions: {summary}. Expected exactly one answer for each of "
            f"{len(wanted)} questions, found {len(results)} entries."
        )
    answers = {result.question_id: result.answer for result in results}
    return [answers[number] for number in wanted]


def check_choices(
    questions: Iterable[Question], answers: Mapping[int, str], name: str = "the results"
) -> None:
    """DataError where an answer is not one of its question's choices, letter by letter, if that has some."""
    wrong = [
        f"question {question.question_id}: {answers[question.question_id]!r}"
        for question in questions
        if question.multiple_choices and answers[question.question_id] not in question.multiple_choices
    ]
    if wrong:
        raise DataError(
            f"{name}: {len(wrong):,} of {len(answers):,} answers are not among the multiple_choices of their question "
            f"({listed(wrong, 3, '; ')}). The official code refuses such a file; open-ended results are scored with "
            "the open-ended questions file."
        )


def write_results(
    path: Path | str, question_ids: Iterable[int], answers: Sequence[str], split_ids: Iterable[int]
) -> None:
    """Write one subset's results file, validated first.

    `question_ids` and `answers` go together. `split_ids` are the ids that the file must have, from the
    questions file of the split or subset, and give the order: a wrong set is refused and nothing is written.
    """
    ids = [int(number) for number in question_ids]  # JSON does not take numpy integers
    if len(ids) != len(answers):
        raise DataError(f"{len(ids)} question ids for {len(answers)} answers: expected one each.")
    other = [answer for answer in answers if not isinstance(answer, str)]
    if other:
        raise DataError(
            f"{len(other)} of {len(answers)} answers are not text (first: {other[0]!r}); {_FORMAT}."
        )
    wanted = [int(number) for number in split_ids]
    entries = [Result(number, str(answer)) for number, answer in zip(ids, answers, strict=True)]
    in_order = validate_results(entries, wanted, "the answers to write")
    ordered = [Result(number, answer) for number, answer in zip(wanted, in_order, strict=True)]
    Path(path).write_bytes(msgspec.json.encode(ordered) + b"\n")


def _count_ids(what: str, ids: list[int]) -> str:
    if not ids:
        return ""
    first = ", ".join([str(number) for number in ids[:3]] + ["..."] * (len(ids) > 3))
    return f"{len(ids)} {'ids are' if len(ids) > 1 else 'id is'} {what} ({first})"


def _why_refused(text: memoryview, error: Exception) -> str:
    """What is wrong with a file that is not a list of results: the count and the first few places.

    msgspec stops at the first fault (`error`), and meets an ill-typed entry before the broken JSON behind it.
    """
    try:
        content = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as broken:
        return f"not JSON ({broken}); {_FORMAT}."
    if not isinstance(content, list):
        return f"found {_kind(content)}, {_FORMAT}."
    wrong = [(place, fault) for place, entry in enumerate(content) if (fault := _fault(entry))]
    if not wrong:  # a rule of msgspec that is not among those below
        return f"{error}; {_FORMAT}."
    shown = "; ".join(f"entry {place}: {fault}" for place, fault in wrong[:3])
    return f"{len(wrong)} of {len(content)} entries are malformed ({shown}); {_FORMAT}."


def _fault(entry: Any) -> str:
    """The first thing wrong with one entry, or nothing."""
    if not isinstance(entry, dict):
        return f"found {_kind(entry)}"
    for key, kind in (("question_id", int), ("answer", str)):
        if key not in entry:
            return f"no {key!r}"
        if not isinstance(entry[key], kind) or isinstance(entry[key], bool):
            return f"{key!r} is {_kind(entry[key])}"
    return ""


def _kind(value: Any) -> str:
    """A JSON value in words, shortened."""
    names = {dict: "an object", list: "a list", str: "text", bool: "a truth value", type(None): "null"}
    kind = names.get(type(value), "a number")
    return kind if isinstance(value, dict | list) or value is None else f"{kind} ({str(value)[:40]!r})"
