"""The official questions and annotations JSON, typed and checked: what passes here needs no check elsewhere.

A file of VQA v2 has 443,757 questions with ten answers each. So entries are decoded one by one from the
bytes (a fault is known by its position, and only one entry's intermediate objects are alive at a time), what
repeats itself is kept once, and the structs are unknown to the garbage collector.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from data.archives import read_member
from data.baselines import commonest
from data.errors import DataError, listed
from data.files import TEXT_BYTES, read_text
from data.normalisation import normalise

HUMANS = 10
"""Answers that every official question has; own data may have fewer."""

_BOM = b"\xef\xbb\xbf"
_SHOWN = 3  # faults that an error message spells out

Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
ABSENT = -1
"""In the place of an image_id that own data leaves out."""
_Entry = TypeVar("_Entry")
_Question = TypeVar("_Question", bound="Question")


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
    """Gives for each string the equal one that came first, so that each is kept once."""

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


def read_questions_as(kind: type[_Question], path: Path | str, member: str | None = None) -> list[_Question]:
    """As `read_questions`, each entry with the further fields of a `kind` of Question."""
    name, entries = _entries(path, member, "questions")
    questions = _decode(name, "questions", entries, msgspec.json.Decoder(kind).decode)
    without = [question.question_id for question in questions if not question.multiple_choices]
    if len(without) == len(questions):
        return questions
    if without:
        raise DataError(
            f"{name}: {_ids(without, len(questions), 'questions')} no multiple_choices, the others "
            "have; expected all or none."
        )
    strings = _Strings()
    for place, question in enumerate(questions):
        choices = tuple(map(strings.__getitem__, question.multiple_choices or ()))
        questions[place] = msgspec.structs.replace(question, multiple_choices=choices)
    return questions


def read_annotations(path: Path | str, member: str | None = None, own_data: bool = False) -> list[Annotation]:
    """The annotations of `member` inside the zip `path`, or of the JSON file `path`, in file order.

    `own_data` allows one to ten answers where official files have ten, and infers what is missing: the
    consensus answer is the commonest (ties by alphabet), the consensus answer tells the answer type, and the
    question type is left "" for `in_order`. DataError as in `read_questions`, and for another number of
    answers.
    """
    name, entries = _entries(path, member, "annotations")
    decode = msgspec.json.Decoder(_Own if own_data else _Official).decode
    least, strings = 1 if own_data else HUMANS, _Strings()

    def one(raw: msgspec.Raw) -> Annotation:
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

    annotations = _decode(name, "annotations", entries, one)
    return [_inferred(annotation) for annotation in annotations] if own_data else annotations


def _inferred(annotation: Annotation) -> Annotation:
    """With the consensus answer and the answer type that own data may leave out."""
    consensus = annotation.multiple_choice_answer or commonest(annotation.answers)
    kind = annotation.answer_type or _answer_type(consensus)
    return msgspec.structs.replace(annotation, multiple_choice_answer=consensus, answer_type=kind)


def check_pairs(questions: Sequence[Question], annotations: Sequence[Annotation]) -> None:
    """DataError unless each question has exactly one annotation, about the same image, and the reverse."""
    images = {question.question_id: question.image_id for question in questions}
    annotated = {annotation.question_id: annotation.image_id for annotation in annotations}
    pairs: list[tuple[str, list[int], int]] = [
        ("questions have the id of another", _repeated(questions), len(questions)),
        ("annotations have the id of another", _repeated(annotations), len(annotations)),
        ("questions have no annotation", [one for one in images if one not in annotated], len(questions)),
        ("annotations have no question", [one for one in annotated if one not in images], len(annotations)),
    ]
    shared = images.keys() & annotated.keys() if images != annotated else set()
    other = sorted(one for one in shared if images[one] != annotated[one])
    pairs.append(("annotations name another image than their question", other, len(annotations)))
    faults = [f"{len(ids):,} of {of:,} {what} (question_id {_some(ids)})" for what, ids, of in pairs if ids]
    if faults:
        raise DataError(
            "The questions and the annotations do not belong together: "
            + "; ".join(faults)
            + ". Expected one "
            "annotation for each question: take both files from the same split and version."
        )


def in_order(annotations: Sequence[Annotation], questions: Sequence[Question]) -> list[Annotation]:
    """The annotations in the order of `questions`; a missing question type becomes the question's first word.

    DataError as in `check_pairs`.
    """
    by_id = {annotation.question_id: annotation for annotation in annotations}
    repeated = len(by_id) != len(annotations)
    found = (by_id.pop(question.question_id, None) for question in questions)
    ordered = [annotation for annotation in found if annotation]
    if repeated or by_id or len(ordered) != len(questions) or _other_images(questions, ordered):
        check_pairs(questions, annotations)
    for place, annotation in enumerate(ordered):
        if not annotation.question_type:
            first = next(iter(questions[place].question.lower().split()), "none")
            ordered[place] = msgspec.structs.replace(annotation, question_type=first)
    return ordered


def _other_images(questions: Sequence[Question], annotations: Sequence[Annotation]) -> bool:
    images = (annotation.image_id for annotation in annotations)
    return any(question.image_id != image for question, image in zip(questions, images, strict=True))


def check_images(asked: Sequence[int], image_ids: Iterable[int], image_set: str = "the image set") -> None:
    """DataError if questions are about images (`asked`: each question's image id) that `image_ids` lacks."""
    there = set(map(int, image_ids))
    absent = Counter(number for number in asked if number not in there)
    if absent:
        raise DataError(
            f"{absent.total():,} of {len(asked):,} questions are about {len(absent):,} images that "
            f"{image_set} lacks (image_id {listed([*map(str, absent)])}). It has {len(there):,} images; do they "
            "belong to these questions?"
        )


def _entries(path: Path | str, member: str | None, field: str) -> tuple[str, list[msgspec.Raw]]:
    """What to call the file in messages, and its entries as views of its bytes, not yet decoded."""
    name = f"{path}: {member}" if member else str(path)
    content = _content(Path(path), member)
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


def _content(path: Path, member: str | None) -> memoryview:
    """The file's bytes without a byte order mark."""
    if member:
        content: bytes | bytearray = read_member(path, member, TEXT_BYTES)
    else:
        content = read_text(path)
    return memoryview(content)[len(_BOM) * content.startswith(_BOM) :]


def _decode(
    name: str, field: str, entries: Sequence[msgspec.Raw], decode: Callable[[msgspec.Raw], _Entry]
) -> list[_Entry]:
    """All entries by `decode`; a DataError that counts and names those that it refuses, and repeated ids."""
    found: list[_Entry] = []
    faults: list[str] = []
    refused = 0
    for place, raw in enumerate(entries):
        try:
            found.append(decode(raw))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            refused += 1
            if refused <= _SHOWN:
                faults.append(f"position {place:,}{_named(raw)}: {_brief(error)}")
    if refused:
        more = f"; and {refused - _SHOWN:,} more" if refused > _SHOWN else ""
        shown = "; ".join(faults) + more
        raise DataError(f"{name}: {refused:,} of {len(entries):,} {field} are malformed ({shown}).")
    repeated = _repeated(found)
    if repeated:
        raise DataError(
            f"{name}: {_ids(repeated, len(found), field)} the question_id of another; expected each id once."
        )
    return found


def _repeated(entries: Sequence[Any]) -> list[int]:
    """Ids that entries have after another entry had them."""
    ids = [entry.question_id for entry in entries]
    if len(set(ids)) == len(ids):
        return []
    return [number for number, times in Counter(ids).items() for _ in range(times - 1)]


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


def _ids(ids: Sequence[int], of: int, what: str) -> str:
    return f"{len(ids):,} of {of:,} {what} (question_id {_some(ids)}) have"


def _some(ids: Iterable[int]) -> str:
    listed = list(ids)
    return ", ".join(map(str, listed[:_SHOWN])) + (", ..." if len(listed) > _SHOWN else "")
