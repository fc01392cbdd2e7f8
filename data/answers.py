"""Answers as classes: the consensus answer, the ten humans', and what each class would earn officially."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
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
"""The class of an answer that is not among the vocabulary's."""

NO_HUMAN = -2
"""Fills the rows of questions with fewer humans, or fewer soft classes, than the widest."""

_ARRAYS = ("consensus", "humans", "question_ids", "soft_classes", "soft_scores")


@dataclass(frozen=True)
class EncodedAnswers:
    """consensus (Q,) int32; humans (Q, H) int32; question_ids (Q,) int64; soft_classes (Q, K) int32 and
    soft_scores (Q, K) float32: every class that earns something on a question, and how much.

    `classes`: how many there are, as the vocabulary says.
    """

    consensus: NDArray[np.int32]
    humans: NDArray[np.int32]
    question_ids: NDArray[np.int64]
    soft_classes: NDArray[np.int32]
    soft_scores: NDArray[np.float32]
    classes: int


def encode_answers(annotations: Sequence[Annotation], vocabulary: Vocabulary) -> EncodedAnswers:
    """Classes of the annotations, in their order.

    The consensus answer and the humans' are matched as they were written, as the seed does. The soft scores are
    the official accuracy of each class, whose rule compares normalised text: a class may earn something that no
    human wrote in just that way, and two classes of the same normalised text earn the same.
    """
    ids = vocabulary.answer_ids
    consensus = [ids.get(annotation.multiple_choice_answer, OUTSIDE) for annotation in annotations]
    soft_classes, soft_scores = _soft_targets(annotations, vocabulary)
    return EncodedAnswers(
        np.array(consensus, np.int32),
        _humans(annotations, ids),
        np.fromiter((annotation.question_id for annotation in annotations), np.int64, len(annotations)),
        soft_classes,
        soft_scores,
        len(vocabulary.answers),
    )


def _humans(annotations: Sequence[Annotation], ids: dict[str, int]) -> NDArray[np.int32]:
    """(Q, H): H is the most humans of any question."""
    counts = np.fromiter((len(annotation.answers) for annotation in annotations), np.int64, len(annotations))
    every = chain.from_iterable(annotation.answers for annotation in annotations)
    present = np.arange(counts.max(initial=1)) < counts[:, None]
    humans = np.full(present.shape, NO_HUMAN, np.int32)
    humans[present] = np.fromiter((ids.get(answer, OUTSIDE) for answer in every), np.int32, int(counts.sum()))
    return humans


def _soft_targets(
    annotations: Sequence[Annotation], vocabulary: Vocabulary
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """(Q, K) classes and their official scores, by first appearance of the answer, then by class."""
    humans = [annotation.answers for annotation in annotations]
    texts, codes, scores = answer_scores_table(humans, absent=NO_HUMAN)
    agreed = np.fromiter((len(set(map(clean, set(ten)))) == 1 for ten in humans), bool, len(humans))
    # (rank, text): the classes that a text stands for; one column of NO_HUMAN behind, for the codes of nobody
    cleaned, normalised = (_classes_of(texts, vocabulary.answers, form) for form in (clean, normalise))
    by_rank = [
        np.where(agreed[:, None], _rank(cleaned, rank)[codes], _rank(normalised, rank)[codes])
        for rank in range(max(cleaned.shape[0], normalised.shape[0]))
    ]
    classes = np.stack(by_rank, axis=2).reshape(len(humans), -1)
    scores = np.repeat(scores, len(by_rank), axis=1)
    inside = classes != NO_HUMAN
    order = np.argsort(~inside, axis=1, kind="stable")[:, : max(1, int(inside.sum(axis=1).max(initial=0)))]
    classes, scores = (np.take_along_axis(array, order, axis=1) for array in (classes, scores))
    return classes.astype(np.int32), np.where(classes == NO_HUMAN, 0, scores).astype(np.float32)


def _classes_of(
    texts: Sequence[str], answers: Sequence[str], form: Callable[[str], str]
) -> NDArray[np.int32]:
    """(R, T + 2) int32: for each text the classes whose `form` it is, NO_HUMAN behind and in the last two columns,

    which the code NO_HUMAN points at.
    """
    by_text: defaultdict[str, list[int]] = defaultdict(list)
    for number, answer in enumerate(answers):
        by_text[form(answer)].append(number)
    table = np.full((max([1, *map(len, by_text.values())]), len(texts) + 2), NO_HUMAN, np.int32)
    for column, text in enumerate(texts):
        found = by_text.get(text, ())
        table[: len(found), column] = found
    return table


def _rank(table: NDArray[np.int32], rank: int) -> NDArray[np.int32]:
    return table[rank] if rank < len(table) else np.full(table.shape[1], NO_HUMAN, np.int32)


def write_answers(path: Path, encoded: EncodedAnswers) -> None:
    """answers.h5: the arrays, and how many classes there are. Equal content gives equal bytes."""
    with h5py.File(path, "w") as file:
        for name in _ARRAYS:
            file.create_dataset(name, data=getattr(encoded, name), track_times=False)
        file.attrs["classes"] = encoded.classes


def read_answers(path: Path) -> EncodedAnswers:
    """The arrays of an answers.h5. DataError where it is none."""
    try:
        with h5py.File(path, "r") as file:
            arrays = {name: file[name][...] for name in _ARRAYS}
            encoded = EncodedAnswers(**arrays, classes=int(file.attrs["classes"]))
    except (OSError, KeyError, TypeError, AttributeError) as error:
        expected = f"HDF5 with {', '.join(_ARRAYS)} and the attribute classes"
        raise DataError(f"{path}: not encoded answers ({error}). Expected {expected}.") from error
    if len({len(array) for array in arrays.values()}) != 1:
        sizes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise DataError(f"{path}: arrays of different lengths: {sizes}; expected one row a question.")
    return encoded
