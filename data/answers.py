"""Answers as classes: the consensus, what each human said, and what each class would score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from data.accuracy import answer_scores_table
from data.annotations import Annotation
from data.errors import DataError
from data.normalisation import clean, normalise
from data.questions import Vocabulary

OUTSIDE = -1
"""An answer that is no class."""

NO_HUMAN = -2
"""Fills a row where a question has fewer answers than others."""


@dataclass(frozen=True)
class Encoded:
    """consensus (Q,) int32 class or −1; humans (Q, H) int32 class, −1 outside, −2 no such human; question_ids (Q,) int64;
    soft_classes (Q, K) int32 (−2 behind) with soft_scores (Q, K) float32, the official scores of those classes;
    classes: how many there are."""

    consensus: NDArray[np.int32]
    humans: NDArray[np.int32]
    question_ids: NDArray[np.int64]
    soft_classes: NDArray[np.int32]
    soft_scores: NDArray[np.float32]
    classes: int


def encode_answers(annotations: Sequence[Annotation], vocabulary: Vocabulary) -> Encoded:
    """Classes in the order of the annotations. Raw strings decide consensus and humans (as the seed), processed ones
    the soft scores (as the official accuracy)."""
    class_of = vocabulary.answer_classes
    count = len(annotations)
    width = max((len(one.answers) for one in annotations), default=0)
    humans = np.full((count, width), NO_HUMAN, np.int32)
    for row, one in enumerate(annotations):
        humans[row, : len(one.answers)] = [class_of.get(answer, OUTSIDE) for answer in one.answers]
    consensus = (class_of.get(one.multiple_choice_answer, OUTSIDE) for one in annotations)
    soft_classes, soft_scores = _soft(annotations, vocabulary)
    return Encoded(
        np.fromiter(consensus, np.int32, count),
        humans,
        np.fromiter((one.question_id for one in annotations), np.int64, count),
        soft_classes,
        soft_scores,
        len(vocabulary.answers),
    )


def _soft(
    annotations: Sequence[Annotation], vocabulary: Vocabulary
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Per question the classes that would score, and how much, packed to the left."""
    texts, codes, scores = answer_scores_table([one.answers for one in annotations], NO_HUMAN)
    table = np.array([_class_of(vocabulary).get(text, OUTSIDE) for text in texts] + [OUTSIDE], np.int32)
    classes = np.where(codes >= 0, table[codes], OUTSIDE)
    scored = (classes >= 0) & (scores > 0)
    order = np.argsort(~scored, axis=1, kind="stable")
    width = max(1, int(scored.sum(axis=1).max(initial=0)))
    classes = np.take_along_axis(np.where(scored, classes, NO_HUMAN), order, axis=1)[:, :width]
    scores = np.take_along_axis(np.where(scored, scores, 0), order, axis=1)[:, :width]
    return classes.astype(np.int32), scores.astype(np.float32)


def _class_of(vocabulary: Vocabulary) -> dict[str, int]:
    """The class of a compared text: the commonest of the answers that are processed to it."""
    found: dict[str, int] = {}
    for number, answer in enumerate(vocabulary.answers):
        found.setdefault(normalise(answer), number)
    for number, answer in enumerate(vocabulary.answers):
        found.setdefault(clean(answer), number)  # where all humans agree, answers are compared unprocessed
    return found


def write_answers(path: Path, encoded: Encoded) -> None:
    """answers.h5, the same bytes for the same arrays."""
    with h5py.File(path, "w", track_order=False) as file:
        for field in fields(Encoded):
            value = getattr(encoded, field.name)
            if field.name == "classes":
                file.attrs["classes"] = value
            else:
                file.create_dataset(field.name, data=value, track_times=False)


def read_answers(path: Path) -> Encoded:
    """The inverse; DataError for a file of another form."""
    try:
        with h5py.File(path, "r") as file:
            arrays = {name.name: file[name.name][...] for name in fields(Encoded) if name.name != "classes"}
            return Encoded(**arrays, classes=int(file.attrs["classes"]))
    except (OSError, KeyError) as error:
        raise DataError(f"{path}: not encoded answers ({error})") from error
