"""Answers as classes: the consensus answer, the ten humans', and what each class would earn officially."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, count
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

    The consensus answer and the humans' are matched as they were written, as the seed does. The soft scores
    are the official accuracy of each class, whose rule compares normalised text: a class may earn something
    that no human wrote in just that way, and two classes of the same normalised text earn the same.
    """
    ids = vocabulary.answer_ids
    tens: defaultdict[tuple[str, ...], int] = defaultdict(count().__next__)  # distinct, as they come
    rows = np.fromiter((tens[one.answers] for one in annotations), np.int64, len(annotations))
    humans, soft_classes, soft_scores = _encode(list(tens), vocabulary.answers)
    consensus = [ids.get(one.multiple_choice_answer, OUTSIDE) for one in annotations]
    return EncodedAnswers(
        np.array(consensus, np.int32),
        humans[rows],
        np.fromiter((one.question_id for one in annotations), np.int64, len(annotations)),
        soft_classes[rows],
        soft_scores[rows],
        len(ids),
    )


def _encode(
    humans: Sequence[tuple[str, ...]], answers: Sequence[str]
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]:
    """The humans' classes (Q, H), and the soft classes and scores (Q, K)."""
    raw, texts = _numbered(humans)
    ids = {answer: number for number, answer in enumerate(answers)}
    class_of = np.array([*(ids.get(text, OUTSIDE) for text in texts), NO_HUMAN], np.int32)
    plain: defaultdict[str, int] = defaultdict(count().__next__)
    cleaned = np.fromiter((plain[clean(text)] for text in texts), np.int32, len(texts))
    unanimous = ((cleaned[raw] == cleaned[raw[:, :1]]) | (raw < 0)).all(axis=1)
    return class_of[raw], *_soft_targets(humans, unanimous, answers)


def _numbered(humans: Sequence[Sequence[str]]) -> tuple[NDArray[np.int32], list[str]]:
    """(Q, H) numbers of the distinct answers, -1 (the last) for no such human, and these answers."""
    counts = np.fromiter(map(len, humans), np.int64, len(humans))
    present = np.arange(counts.max(initial=1)) < counts[:, None]
    numbers: defaultdict[str, int] = defaultdict(count().__next__)
    raw = np.full(present.shape, -1, np.int32)
    every = map(numbers.__getitem__, chain.from_iterable(humans))
    raw[present] = np.fromiter(every, np.int32, int(counts.sum()))
    return raw, list(numbers)


def _soft_targets(
    humans: Sequence[Sequence[str]], unanimous: NDArray[np.bool_], answers: Sequence[str]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """(Q, K) classes and their official scores, by first appearance of the answer, then by class."""
    texts, codes, scores = answer_scores_table(humans, absent=NO_HUMAN)
    cleaned, normalised = (_classes_of(texts, answers, form) for form in (clean, normalise))
    ranks = max(cleaned.shape[1], normalised.shape[1])  # classes that one text stands for: mostly one
    cleaned, normalised = (_wider(table, ranks, NO_HUMAN) for table in (cleaned, normalised))
    classes = np.where(unanimous[:, None, None], cleaned[codes], normalised[codes])
    classes, scores = classes.reshape(len(codes), -1), np.repeat(scores, ranks, axis=1)
    earns = classes != NO_HUMAN
    order = np.argsort(~earns, axis=1, kind="stable")[:, : max(1, int(earns.sum(axis=1).max(initial=0)))]
    earned = np.where(earns, scores, 0).astype(np.float32)
    return np.take_along_axis(classes, order, axis=1), np.take_along_axis(earned, order, axis=1)


def _classes_of(
    texts: Sequence[str], answers: Sequence[str], form: Callable[[str], str]
) -> NDArray[np.int32]:
    """(T + 2, R) int32: the classes whose `form` a text is, NO_HUMAN behind. The last rows are nobody's:

    the code NO_HUMAN points at one of them.
    """
    by_text: defaultdict[str, list[int]] = defaultdict(list)
    for number, answer in enumerate(answers):
        by_text[form(answer)].append(number)
    rows = {text: row for row, text in enumerate(texts)}
    table = np.full((len(texts) + 2, max(map(len, by_text.values()), default=1)), NO_HUMAN, np.int32)
    for text in by_text.keys() & rows.keys():
        table[rows[text], : len(by_text[text])] = by_text[text]
    return table


def _wider(table: NDArray[np.int32], width: int, value: int) -> NDArray[np.int32]:
    return np.pad(table, ((0, 0), (0, width - table.shape[1])), constant_values=value)


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
