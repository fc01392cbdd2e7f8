"""Official JSON of your own: every question with its annotation and the picture that it is about.

That is the picture whose file the question names in `image` or `file_name`; where it names none, the picture whose
name ends in its image_id. The order of names decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from data.base.errors import DataError, listed
from data.own.picture_names import PictureNames, described, name_of
from data.own.unusable import UnusableRows
from data.pictures.image_sets import Images
from data.pictures.picture_ids import last_number, numbers_of, without_own_number
from data.text.official import ABSENT, Annotation, Id, Question
from data.text.official_json import read_annotations, read_questions_as
from data.text.pairing import in_order

Pairs = list[tuple[Question, Annotation]]
_Entry = TypeVar("_Entry", "OwnQuestion", Annotation)
_WAY_OUT = "or let each question name its file in image or file_name"


class OwnQuestion(Question, frozen=True, gc=False, kw_only=True):
    """`image` and `file_name` may name the picture's file; then image_id may be left out (ABSENT)."""

    image_id: Id = ABSENT
    image: str | None = None
    file_name: str | None = None

    def files(self) -> list[str]:
        """The file names that the question gives."""
        return [name.strip() for name in (self.image, self.file_name) if name and name.strip()]


def read_official(questions_path: Path, annotations_path: Path, images: Images) -> Pairs:
    """Questions and annotations with the ids that their pictures have in `images`, in the order of the questions.

    UnusableRows names, all at once, entries of either file that are malformed, questions whose file or image_id
    belongs to no picture, and those whose image_id and file are two pictures. DataError else as in
    `data.text.official_json`, and for questions that ask by image_id where not every picture's name ends in a number
    of its own.
    """
    malformed: list[str] = []
    questions = read_questions_as(OwnQuestion, questions_path, malformed=malformed)
    of, wrong = f"{len(questions) + len(malformed):,} questions", [*malformed]
    malformed.clear()
    annotations = read_annotations(annotations_path, None, True, malformed)
    if malformed:
        of += f" and {len(annotations) + len(malformed):,} annotations"
        wrong += [f"{annotations_path.name}: {why}" for why in malformed]
    annotation_images = {annotation.question_id: annotation.image_id for annotation in annotations}
    question_images = {question.question_id: question.image_id for question in questions}
    questions = [_with_id(question, annotation_images) for question in questions]
    ids = _picture_ids(questions_path, questions, images, wrong, of)
    annotations = in_order([_with_id(annotation, question_images) for annotation in annotations], questions)
    return [
        (
            Question(question.question_id, number, question.question, question.multiple_choices),
            replace(annotation, image_id=number),
        )
        for question, annotation, number in zip(questions, annotations, ids, strict=True)
    ]


def _with_id(entry: _Entry, ids: dict[int, int]) -> _Entry:
    """Where one of the two files leaves out an image_id, the other's counts."""
    if entry.image_id != ABSENT:
        return entry
    return replace(entry, image_id=ids.get(entry.question_id, ABSENT))


def _picture_ids(
    path: Path, questions: Sequence[OwnQuestion], images: Images, wrong: list[str], of: str
) -> list[int]:
    """The id of each question's picture. UnusableRows if a question has none, or if entries are `wrong` already."""
    files = (file for question in questions for file in question.files())
    pictures = _Pictures(images, _ids_by_number(path, questions, images), files)
    results = [pictures.find(question) for question in questions]
    missing = [
        f"question_id {question.question_id}: {why}"
        for question, why in zip(questions, results, strict=True)
        if isinstance(why, str)
    ]
    if wrong or missing:
        hint = f"{described(images)}. Add the pictures, {_WAY_OUT}" if missing else ""
        raise UnusableRows(path, [*wrong, *missing], of, hint)
    return [number for number in results if isinstance(number, int)]


def _ids_by_number(path: Path, questions: Sequence[OwnQuestion], images: Images) -> dict[int, int]:
    """Ids by the numbers in the pictures' names; empty unless each name has a number of its own.

    DataError if a question gives nothing but a number in that case.
    """
    ids = [
        question.image_id for question in questions if not question.files() and question.image_id != ABSENT
    ]
    faults = without_own_number(images.names)
    if ids and faults:
        raise DataError(
            f"{path}: {len(ids):,} of {len(questions):,} questions ask by image_id, but {len(faults):,} of "
            f"{len(images):,} pictures have no number of their own at the end of their name: {listed(faults)}. Rename "
            f"or remove these in {images.path.resolve()}, {_WAY_OUT}"
        )
    if faults:
        return {}
    wanted = {question.image_id for question in questions}
    numbers = numbers_of(images.names, last_number, len(images)).tolist()
    pictures = zip(numbers, images.ids.tolist(), strict=True)
    return {number: image_id for number, image_id in pictures if number in wanted}


class _Pictures:
    """What a question's names and image_id mean."""

    def __init__(self, images: Images, by_number: dict[int, int], files: Iterable[str]) -> None:
        self.images, self.names = images, PictureNames(images, files)
        self.known = dict(by_number)  # by image_id; those of named files join, so that each stays one picture

    def find(self, question: OwnQuestion) -> int | str:
        """The id of the question's picture, or why there is none."""
        files = question.files()
        if not files and question.image_id == ABSENT:
            return "it has no image_id, image or file_name"
        if not files:
            return self.known.get(question.image_id, f"no picture's name ends in {question.image_id}")
        number, other = self.names.find(files[0]), self.names.find(files[-1])
        if isinstance(number, str) or isinstance(other, str):
            return number if isinstance(number, str) else other
        if number != other:
            return f"image {files[0]!r} and file_name {files[1]!r} are two pictures"
        return self._checked(question.image_id, number, files[0])

    def _checked(self, image_id: int, number: int, file: str) -> int | str:
        """The named picture's id, unless image_id already means another picture."""
        known = number if image_id == ABSENT else self.known.setdefault(image_id, number)
        if known == number:
            return number
        return f"image_id {image_id} is {name_of(self.images, known)}, but it names {file!r}; mend or leave out one"
