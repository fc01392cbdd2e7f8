"""The official questions and annotations files, typed, checked and complete, or refused with what is wrong."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from data.archives import read_member
from data.errors import DataError

HUMANS = 10
"""Answers that every question of an official dataset has."""

_ID = 2**63  # ids are stored as int64
_BOM = b"\xef\xbb\xbf"


class Question(msgspec.Struct, frozen=True, gc=False):
    """One question; `multiple_choices` are v1's 18 (absent from open-ended files)."""

    question_id: int
    image_id: int
    question: str
    multiple_choices: tuple[str, ...] = ()


class Annotation(msgspec.Struct, frozen=True, gc=False):
    """What people said to one question: `multiple_choice_answer` is the consensus, `answers` are all of theirs."""

    question_id: int
    image_id: int
    question_type: str
    answer_type: str
    multiple_choice_answer: str
    answers: tuple[str, ...]


class _Answer(msgspec.Struct, gc=False):
    answer: str


class _Annotation(msgspec.Struct, gc=False):
    """As it stands in the file."""

    question_id: int
    image_id: int
    multiple_choice_answer: str
    answers: list[_Answer]
    question_type: str
    answer_type: str


class _QuestionsFile(msgspec.Struct, gc=False):
    questions: list[Question]


class _AnnotationsFile(msgspec.Struct, gc=False):
    annotations: list[_Annotation]


class _RawFile(msgspec.Struct, gc=False):
    questions: list[msgspec.Raw] = []
    annotations: list[msgspec.Raw] = []


Kind = TypeVar("Kind")


def read_questions(path: Path | str, member: str | None = None) -> list[Question]:
    """All questions of a zip's member or of a plain JSON file, in file order.

    DataError names the file and what is wrong: not JSON, a field missing or ill-typed (the first position and how
    many), ids given twice or beyond int64.
    """
    name = _name(path, member)
    questions = _decode(_content(path, member), name, _QuestionsFile, Question, "questions").questions
    _check_ids(name, "question_id", [one.question_id for one in questions])
    return questions


def read_annotations(
    path: Path | str, member: str | None = None, humans: int | None = HUMANS
) -> list[Annotation]:
    """All annotations of a zip's member or of a plain JSON file, in file order.

    `humans`: how many answers each must have; None allows one or more (own data). DataErrors as `read_questions`.
    Equal strings are one object: v2's 6.6 million answers are 0.2 million different ones.
    """
    name = _name(path, member)
    raw = _decode(_content(path, member), name, _AnnotationsFile, _Annotation, "annotations").annotations
    _check_ids(name, "question_id", [one.question_id for one in raw])
    wrong = [one for one in raw if (len(one.answers) != humans if humans else not one.answers)]
    if wrong:
        raise DataError(
            f"{name}: {len(wrong):,} of {len(raw):,} questions do not have {humans or 'any'} answers; the first is "
            f"question {wrong[0].question_id} with {len(wrong[0].answers)}"
        )
    known: dict[str, str] = {}
    one_of = known.setdefault
    annotations = []
    for position, one in enumerate(raw):
        answers = tuple([one_of(a.answer, a.answer) for a in one.answers])
        kind, type_, said = one.question_type, one.answer_type, one.multiple_choice_answer
        annotations.append(
            Annotation(
                one.question_id, one.image_id, one_of(kind, kind), one_of(type_, type_), one_of(said, said), answers
            )
        )
        raw[position] = None  # type: ignore[call-overload]  # gives its memory back while the other list grows
    return annotations


def in_order(annotations: Sequence[Annotation], questions: Sequence[Question]) -> list[Annotation]:
    """The annotation of each question, in the order of the questions.

    DataError counts and names questions without annotation and annotations without question, and pairs that
    disagree about the picture.
    """
    by_id = {one.question_id: one for one in annotations}
    asked = {one.question_id for one in questions}
    without = [one.question_id for one in questions if one.question_id not in by_id]
    extra = [number for number in by_id if number not in asked]
    if without or extra:
        raise DataError(
            f"questions and annotations do not belong together: {len(without):,} questions have no annotation"
            f"{_examples(without)}, {len(extra):,} annotations have no question{_examples(extra)}"
        )
    apart = [one.question_id for one in questions if by_id[one.question_id].image_id != one.image_id]
    if apart:
        raise DataError(f"{len(apart):,} questions and their annotations name different pictures{_examples(apart)}")
    return [by_id[one.question_id] for one in questions]


def check_images(questions: Iterable[Question], image_ids: Iterable[int], image_set: str) -> None:
    """DataError where questions are about pictures that the image set lacks, with count and examples."""
    known = set(image_ids)
    missing = sorted({one.image_id for one in questions} - known)
    if missing:
        raise DataError(f"{len(missing):,} pictures that questions ask about are not in {image_set}{_examples(missing)}")


def _content(path: Path | str, member: str | None) -> bytes:
    if member is not None:
        content = read_member(Path(path), member)
    else:
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            raise DataError(f"{path}: can't be read: {error.strerror}") from error
    return content.removeprefix(_BOM)


def _name(path: Path | str, member: str | None) -> str:
    return f"{path}: {member}" if member else str(path)


def _decode(content: bytes, name: str, file: type[Kind], item: type, key: str) -> Kind:
    try:
        return msgspec.json.decode(content, type=file)
    except msgspec.ValidationError as error:
        raise DataError(f"{name}: {_all_faults(content, item, key) or error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{name}: is not JSON as it should be: {error}") from None
    except RecursionError:
        raise DataError(f"{name}: is nested too deeply to be a {key} file") from None


def _all_faults(content: bytes, item: type, key: str) -> str:
    """How many entries are ill-formed, and the first one's place and fault; nothing if the whole file's form is wrong."""
    try:
        entries = getattr(msgspec.json.decode(content, type=_RawFile), key)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    faults = []
    for position, entry in enumerate(entries):
        try:
            msgspec.json.decode(entry, type=item)
        except msgspec.ValidationError as error:
            faults.append((position, str(error), bytes(entry[:200])))
    if not faults:
        return ""
    position, why, entry = faults[0]
    number = _id_in(entry)
    return f"{len(faults):,} of {len(entries):,} {key} are ill-formed; the first is number {position}{number}: {why}"


def _id_in(entry: bytes) -> str:
    start = entry.find(b'"question_id":')
    digits = itertools.takewhile(lambda c: c.isdigit(), entry[start + 14 :].decode("latin-1").lstrip())
    found = "".join(digits) if start >= 0 else ""
    return f" (question_id {found})" if found else ""


def _check_ids(name: str, what: str, ids: list[int]) -> None:
    if len(set(ids)) < len(ids):
        twice = [number for number, times in Counter(ids).items() if times > 1]
        raise DataError(f"{name}: {len(twice):,} {what}s stand there more than once{_examples(twice)}")
    wide = [number for number in ids if not -_ID <= number < _ID]
    if wide:
        raise DataError(f"{name}: {len(wide):,} {what}s are beyond 64 bits{_examples(wide)}")


def _examples(ids: list[Any]) -> str:
    return f" (such as {', '.join(str(number) for number in ids[:3])})" if ids else ""
