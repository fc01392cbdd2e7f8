"""The official questions and annotations JSON, typed and checked: what passes here needs no check elsewhere.

A file of VQA v2 has 443,757 questions with ten answers each. So entries are decoded one by one from the
bytes (a fault is known by its position, and only one entry's intermediate objects are alive at a time), what
repeats itself is kept once, and the garbage collector does not track the structs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from operator import attrgetter
from pathlib import Path
from typing import TypeVar

import msgspec

from data.base.errors import DataError, listed
from data.containers.documents import read_document
from data.scoring.baselines import commonest
from data.scoring.normalisation import normalise
from data.text.official import ABSENT, HUMANS, SHOWN, Annotation, Id, Question, counted_ids, repeated_ids

_Entry = TypeVar("_Entry")
_Question = TypeVar("_Question", bound="Question")


class _Human(msgspec.Struct, gc=False):
    answer: str


class _Official(msgspec.Struct, gc=False, kw_only=True):
    question_id: Id
    image_id: Id
    question_type: str
    answer_type: str
    multiple_choice_answer: str
    answers: list[_Human]


class _Own(_Official, gc=False, kw_only=True):
    image_id: Id = ABSENT
    question_type: str = ""
    answer_type: str = ""
    multiple_choice_answer: str = ""


class _QuestionsFile(msgspec.Struct):
    questions: list[msgspec.Raw]


class _AnnotationsFile(msgspec.Struct):
    annotations: list[msgspec.Raw]


class _Strings(dict[str, str]):
    """Gives the first of equal strings for each of them, so that it is kept once."""

    def __missing__(self, text: str) -> str:
        self[text] = text
        return text


class _Named(msgspec.Struct):
    question_id: Id


_text = attrgetter("answer")
_NAMED = msgspec.json.Decoder(_Named)


def read_questions(path: Path | str, member: str | None = None) -> list[Question]:
    """The questions of `member` inside the zip `path`, or of the JSON file `path`, in file order.

    DataError, with file, position or id, and count: no such file, not JSON, a missing or ill-typed field, ids
    below 0 or beyond 64 bits, an id twice, choices for some questions only, no questions.
    """
    return read_questions_as(Question, path, member)


def read_questions_as(
    kind: type[_Question],
    path: Path | str,
    member: str | None = None,
    malformed: list[str] | None = None,
) -> list[_Question]:
    """As `read_questions`, each entry with the further fields of a `kind` of Question.

    `malformed` takes what is wrong with entries, which are then left out instead of refused.
    """
    name, entries = _entries(path, member, "questions")
    questions = _decode(name, "questions", entries, msgspec.json.Decoder(kind).decode, malformed)
    without = [question.question_id for question in questions if not question.multiple_choices]
    if len(without) == len(questions):
        return questions
    if without:
        raise DataError(
            f"{name}: {counted_ids(without, len(questions), 'questions')} no multiple_choices, the others "
            "have; expected all or none."
        )
    strings = _Strings()
    for place, question in enumerate(questions):
        choices = tuple(map(strings.__getitem__, question.multiple_choices or ()))
        questions[place] = msgspec.structs.replace(question, multiple_choices=choices)
    return questions


def read_annotations(
    path: Path | str,
    member: str | None = None,
    own_data: bool = False,
    malformed: list[str] | None = None,
) -> list[Annotation]:
    """The annotations of `member` inside the zip `path`, or of the JSON file `path`, in file order.

    `own_data` allows one to ten answers where official files have ten, and infers what is missing: the
    consensus answer is the commonest (ties by alphabet), the consensus answer tells the answer type, and the
    question type is left "" for `in_order`. DataError as in `read_questions`, and for another number of
    answers. `malformed` as in `read_questions_as`.
    """
    name, entries = _entries(path, member, "annotations")
    decode = msgspec.json.Decoder(_Own if own_data else _Official).decode
    least, strings = 1 if own_data else HUMANS, _Strings()

    def annotation_of(raw: msgspec.Raw) -> Annotation:
        entry = decode(raw)
        answers = tuple(map(_text, entry.answers))
        if not least <= len(answers) <= HUMANS:
            expected = f"one to {HUMANS}" if own_data else f"{HUMANS}"
            raise msgspec.ValidationError(f"{len(answers)} answers, expected {expected}")
        return Annotation(
            entry.question_id,
            entry.image_id,
            strings[entry.question_type],
            strings[entry.answer_type],
            strings[entry.multiple_choice_answer],
            answers,
        )

    annotations = _decode(name, "annotations", entries, annotation_of, malformed)
    return [_inferred(annotation) for annotation in annotations] if own_data else annotations


def _inferred(annotation: Annotation) -> Annotation:
    """With the consensus answer and the answer type that own data may leave out."""
    consensus = annotation.multiple_choice_answer or commonest(annotation.answers)
    kind = annotation.answer_type or _answer_type(consensus)
    return msgspec.structs.replace(annotation, multiple_choice_answer=consensus, answer_type=kind)


def _entries(path: Path | str, member: str | None, field: str) -> tuple[str, list[msgspec.Raw]]:
    """What to call the file in messages, and its entries as views of its bytes, not yet decoded."""
    name = f"{path}: {member}" if member else str(path)
    content = read_document(Path(path), member)
    kind = _QuestionsFile if field == "questions" else _AnnotationsFile
    try:
        entries = getattr(msgspec.json.decode(content, type=kind), field)
    except msgspec.ValidationError as error:
        expected = f'expected an object with "{field}": [...], as the official files have it'
        raise DataError(f"{name}: no {field} file ({error}); {expected}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(
            f"{name}: {len(content):,} bytes that are not JSON: {_where(content, error)}."
        ) from None
    if not entries:
        raise DataError(f"{name}: holds no {field}; expected at least one.")
    return name, entries


def _decode(
    name: str,
    field: str,
    entries: Sequence[msgspec.Raw],
    decode: Callable[[msgspec.Raw], _Entry],
    malformed: list[str] | None,
) -> list[_Entry]:
    """All entries by `decode`; a DataError that counts and names those that it refuses, and repeated ids."""
    decoded: list[_Entry] = []
    faults: list[str] = [] if malformed is None else malformed
    for place, raw in enumerate(entries):
        try:
            decoded.append(decode(raw))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            faults.append(f"position {place:,}{_named(raw)}: {_brief(error)}")
    if malformed is None and faults:
        shown = listed(faults, SHOWN, "; ")
        raise DataError(f"{name}: {len(faults):,} of {len(entries):,} {field} are malformed ({shown}).")
    repeated = repeated_ids(decoded)
    if repeated:
        raise DataError(
            f"{name}: {counted_ids(repeated, len(decoded), field)} the question_id of another; expected each id once."
        )
    return decoded


def _named(raw: msgspec.Raw) -> str:
    try:
        return f", question_id {_NAMED.decode(raw).question_id}"
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""


def _brief(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return str(error).replace(" - at `$`", "")[:200]


def _where(content: memoryview, error: Exception) -> str:
    """A decoding error with the text around the byte that it names."""
    at = re.search(r"\(byte (\d+)\)$", str(error))
    if not at:
        return _brief(error)
    near = bytes(content[max(0, int(at[1]) - 30) : int(at[1]) + 10]).decode("utf-8", "replace")
    return f"{error}, near {near!r}"


def _answer_type(consensus: str) -> str:
    """The official three: yes/no, number, other."""
    text = normalise(consensus)
    if text in ("yes", "no"):
        return "yes/no"
    return "number" if re.fullmatch(r"\d+(\.\d+)?", text) else "other"
