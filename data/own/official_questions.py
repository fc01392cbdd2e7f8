"""Official JSON of one's own: every question with its annotation and the picture that it is about.

That is the picture whose file the question names in `image` or `file_name`; where it names none, the picture whose
name ends in its image_id. The order of names decides nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from data.base.errors import DataError, listed
from data.own.picture_names import PictureNames, described
from data.pictures.image_sets import Images
from data.pictures.picture_ids import last_number, without_own_number
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
        """The file by each of its names, as far as given."""
        return [name.strip() for name in (self.image, self.file_name) if name and name.strip()]


def read_official(questions_path: Path, annotations_path: Path, images: Images) -> Pairs:
    """Questions and annotations with the ids that their pictures have in `images`, in the order of the questions.

    DataError as in `data.text.official_json`; and, with the first ten and their count, for questions that ask by
    image_id where not every picture's name ends in a number of its own, or where none ends in this one; for files that
    are not there; for an image_id that is another picture than the file.
    """
    questions, annotations = _paired(questions_path, annotations_path)
    ids = _picture_ids(questions_path, questions, images)
    return [
        (
            Question(one.question_id, number, one.question, one.multiple_choices),
            replace(said, image_id=number),
        )
        for one, said, number in zip(questions, annotations, ids, strict=True)
    ]


def _paired(questions_path: Path, annotations_path: Path) -> tuple[list[OwnQuestion], list[Annotation]]:
    """Both files in one order. An image_id that one of the two leaves out is the other's."""
    questions = read_questions_as(OwnQuestion, questions_path)
    annotations = read_annotations(annotations_path, None, True)
    said = {one.question_id: one.image_id for one in annotations}
    asked = {one.question_id: one.image_id for one in questions}
    questions = [_with_id(one, said) for one in questions]
    annotations = [_with_id(one, asked) for one in annotations]
    return questions, in_order(annotations, questions)


def _with_id(entry: _Entry, ids: dict[int, int]) -> _Entry:
    if entry.image_id != ABSENT:
        return entry
    return replace(entry, image_id=ids.get(entry.question_id, ABSENT))


def _picture_ids(path: Path, questions: Sequence[OwnQuestion], images: Images) -> list[int]:
    pictures = _Pictures(images, _ids_by_number(path, questions, images))
    found = [pictures.find(question) for question in questions]
    faults = [
        f"question_id {question.question_id}: {why}"
        for question, why in zip(questions, found, strict=True)
        if isinstance(why, str)
    ]
    if faults:
        shown = listed(faults, between="; ")
        raise DataError(
            f"{path}: {len(faults):,} of {len(questions):,} questions can't be used ({shown}). {described(images)}"
        )
    return [number for number in found if isinstance(number, int)]


def _ids_by_number(path: Path, questions: Sequence[OwnQuestion], images: Images) -> dict[int, int]:
    """Ids by the numbers in the pictures' names; none if a name has none of its own, for then no number counts.

    DataError if a question asks by a number that is not among them.
    """
    asked = [one.image_id for one in questions if not one.files() and one.image_id != ABSENT]
    faults = without_own_number(images.names)
    if asked and faults:
        raise DataError(
            f"{path}: {len(asked):,} of {len(questions):,} questions ask by image_id, but {len(faults):,} of "
            f"{len(images):,} pictures have no number of their own at the end of their name: {listed(faults)}. Rename "
            f"or remove these in {images.path.resolve()}, {_WAY_OUT}"
        )
    pictures = zip(images.names, images.ids.tolist(), strict=True)
    by_number = {number: image_id for name, image_id in pictures if (number := last_number(name)) is not None}
    absent = Counter(number for number in asked if number not in by_number)
    if absent:
        raise DataError(
            f"{path}: {absent.total():,} of {len(questions):,} questions ask by an image_id that no picture's name "
            f"ends in: {listed([*map(str, absent)])}. {described(images)}. Add the pictures, {_WAY_OUT}"
        )
    return {} if faults else by_number


class _Pictures:
    """What a question's names and image_id mean."""

    def __init__(self, images: Images, by_number: dict[int, int]) -> None:
        self.names = PictureNames(images)
        self.name_of = dict(zip(images.ids.tolist(), images.names, strict=True))
        self.known = dict(by_number)  # by image_id; those of named files join, so that each stays one picture

    def find(self, question: OwnQuestion) -> int | str:
        """The id of the question's picture, or why there is none."""
        files = question.files()
        if not files:
            return self.known.get(question.image_id, "it has no image_id, image or file_name")
        number, other = self.names.find(files[0]), self.names.find(files[-1])
        if isinstance(number, str) or isinstance(other, str):
            return number if isinstance(number, str) else other
        if number != other:
            return f"image {files[0]!r} and file_name {files[1]!r} are two pictures"
        return self._checked(question.image_id, number, files[0])

    def _checked(self, image_id: int, number: int, file: str) -> int | str:
        """The named picture's id, unless image_id is said to be another picture."""
        known = number if image_id == ABSENT else self.known.setdefault(image_id, number)
        if known == number:
            return number
        return f"image_id {image_id} is {self.name_of[known]}, but it names {file!r}; mend or leave out one"
