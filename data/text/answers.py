"""Answers as classes: the consensus answer, the ten humans', and what each class would earn officially."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count, repeat
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from data.base.errors import DataError
from data.containers import hdf5
from data.scoring.accuracy import answer_scores_table
from data.scoring.normalisation import clean, normalise
from data.text.official import Annotation
from data.text.questions import Vocabulary

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

    The consensus answer and the humans' are matched as they were written, as the original does. The soft scores
    are the official accuracy of each class, whose rule compares normalised text: a class may earn something
    that no human wrote in just that way, and two classes of the same normalised text earn the same.
    """
    ids = vocabulary.answer_ids
    tens: defaultdict[tuple[str, ...], int] = defaultdict(count().__next__)  # distinct, as they come
    rows = np.fromiter((tens[annotation.answers] for annotation in annotations), np.int64, len(annotations))
    humans = _humans(list(tens), ids)
    soft_classes, soft_scores = _soft_targets(list(tens), vocabulary.answers)
    consensus = [ids.get(annotation.multiple_choice_answer, OUTSIDE) for annotation in annotations]
    return EncodedAnswers(
        np.array(consensus, np.int32),
        humans[rows],
        np.fromiter((annotation.question_id for annotation in annotations), np.int64, len(annotations)),
        soft_classes[rows],
        soft_scores[rows],
        len(ids),
    )


def _humans(humans: Sequence[Sequence[str]], ids: Mapping[str, int]) -> NDArray[np.int32]:
    """(Q, H) classes of what the humans wrote: H is the most humans of any question."""
    counts = np.fromiter(map(len, humans), np.int64, len(humans))
    present = np.arange(counts.max(initial=1)) < counts[:, None]
    classes = np.full(present.shape, NO_HUMAN, np.int32)
    every = map(ids.get, chain.from_iterable(humans), repeat(OUTSIDE))
    classes[present] = np.fromiter(every, np.int32, int(counts.sum()))
    return classes


def _soft_targets(
    humans: Sequence[Sequence[str]], answers: Sequence[str]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """(Q, K) classes and their official scores, by first appearance of the answer, then by class."""
    texts, codes, scores = answer_scores_table(humans, absent=NO_HUMAN)
    cleaned, normalised = (_classes_of(texts, answers, form) for form in (clean, normalise))
    ranks = max(cleaned.shape[1], normalised.shape[1])  # classes that one text stands for: mostly one
    cleaned, normalised = (_wider(table, ranks, NO_HUMAN) for table in (cleaned, normalised))
    classes = np.where(_unanimous(humans, codes)[:, None, None], cleaned[codes], normalised[codes])
    classes, scores = classes.reshape(len(codes), -1), np.repeat(scores, ranks, axis=1)
    earns = classes != NO_HUMAN
    places = np.cumsum(earns, axis=1)  # one column for each class that earns something, without gaps
    row, place = np.nonzero(earns)[0], places[earns] - 1
    shape = len(codes), max(1, int(places.max(initial=0)))
    soft_classes, soft_scores = np.full(shape, NO_HUMAN, np.int32), np.zeros(shape, np.float32)
    soft_classes[row, place], soft_scores[row, place] = classes[earns], scores[earns]
    return soft_classes, soft_scores


def _unanimous(humans: Sequence[Sequence[str]], codes: NDArray[np.int32]) -> NDArray[np.bool_]:
    """(Q,): where the official rule compares the answers as they are, because all are the same."""
    unanimous = np.zeros(len(humans), bool)
    for row in np.flatnonzero(
        (codes != NO_HUMAN).sum(axis=1) == 1
    ).tolist():  # 'two' and '2' have one text as well
        unanimous[row] = len(set(map(clean, set(humans[int(row)])))) == 1
    return unanimous


def _classes_of(
    texts: Sequence[str], answers: Sequence[str], form: Callable[[str], str]
) -> NDArray[np.int32]:
    """(T + 2, R) int32: the classes whose `form` a text is, NO_HUMAN behind.

    The last two rows are nobody's: the code NO_HUMAN, -2, points at one of them.
    """
    by_text: defaultdict[str, list[int]] = defaultdict(list)
    for number, answer in enumerate(answers):
        by_text[form(answer)].append(number)
    table = np.full((len(texts) + 2, max(map(len, by_text.values()), default=1)), NO_HUMAN, np.int32)
    for row, text in enumerate(texts):
        if text in by_text:
            table[row, : len(by_text[text])] = by_text[text]
    return table


def _wider(table: NDArray[np.int32], width: int, value: int) -> NDArray[np.int32]:
    return np.pad(table, ((0, 0), (0, width - table.shape[1])), constant_values=value)


def write_answers(path: Path, encoded: EncodedAnswers) -> None:
    """answers.h5: the arrays, and how many classes there are. Equal content gives equal bytes."""
    with hdf5.create(path) as file:
        for name in _ARRAYS:
            file.create_dataset(name, data=getattr(encoded, name), track_times=False)
        file.attrs["classes"] = encoded.classes


def read_answers(path: Path) -> EncodedAnswers:
    """The arrays of an answers.h5. DataError where it is not one."""
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
