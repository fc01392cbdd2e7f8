"""Questions, annotations and pictures that belong together, or a DataError that says which do not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from data.base.errors import DataError, listed
from data.text.official import Annotation, Question, first_ids, repeated_ids


def check_pairs(questions: Sequence[Question], annotations: Sequence[Annotation]) -> None:
    """DataError unless each question has exactly one annotation, about the same image, and the reverse."""
    images = {question.question_id: question.image_id for question in questions}
    annotated = {annotation.question_id: annotation.image_id for annotation in annotations}
    pairs: list[tuple[str, list[int], int]] = [
        ("questions have the id of another", repeated_ids(questions), len(questions)),
        ("annotations have the id of another", repeated_ids(annotations), len(annotations)),
        (
            "questions have no annotation",
            [number for number in images if number not in annotated],
            len(questions),
        ),
        (
            "annotations have no question",
            [number for number in annotated if number not in images],
            len(annotations),
        ),
    ]
    shared = images.keys() & annotated.keys() if images != annotated else set()
    other = sorted(number for number in shared if images[number] != annotated[number])
    pairs.append(("annotations name another image than their question", other, len(annotations)))
    faults = [
        f"{len(ids):,} of {of:,} {what} (question_id {first_ids(ids)})" for what, ids, of in pairs if ids
    ]
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
    paired = (by_id.pop(question.question_id, None) for question in questions)
    ordered = [annotation for annotation in paired if annotation]
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


def check_images(
    question_images: Sequence[int], image_ids: Iterable[int], image_set: str = "the image set"
) -> None:
    """DataError if questions are about images (`question_images`: each question's image id) that `image_ids` lacks."""
    there = set(map(int, image_ids))
    absent = Counter(number for number in question_images if number not in there)
    if absent:
        raise DataError(
            f"{absent.total():,} of {len(question_images):,} questions are about {len(absent):,} images that "
            f"{image_set} lacks (image_id {listed([*map(str, absent)])}). It has {len(there):,} images; do they "
            "belong to these questions?"
        )
