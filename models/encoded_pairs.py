"""Pairs of an encoded question and an encoded picture: each distinct question is encoded once, pictures are streamed.

Memory does not grow with the number or the shape of the pictures: they are encoded in blocks of so many bytes, and all
questions about a block are answered before the next. Encoded questions are bounded, too: where they take more than a
block, the pictures are streamed once more for the next ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.classifiers.interface import Classifier, Encoded, join, pick
from models.classifiers.question_tree import rounded_up_index
from models.devices import send
from models.feature_table import Features, Table, open_features

BATCH = 4096  # distinct questions, pictures or pairs at a time: 200 MB at the original's sizes; fewer of large ones
LOOK_BYTES = 64 << 20  # of pictures in float32 that are looked at together: 4,096 of the original's
PICTURES_BYTES = (
    384 << 20
)  # of encoded pictures in memory: 98,304 of the original's vectors, one block for any of COCO
QUESTIONS_BYTES = 1 << 30  # of encoded questions in memory
PAIRS_BYTES = 256 << 20  # of encoded pairs that are answered together


@dataclass(frozen=True)
class _Questions:
    """numbers (n,) of questions, and for each of them its row (n,) in `encoded`, which has each distinct one once."""

    numbers: np.ndarray
    row_of: np.ndarray
    encoded: Encoded


@dataclass(frozen=True)
class _Pictures:
    """rows (m,) of the table, ascending, and the same pictures encoded."""

    rows: np.ndarray
    encoded: Encoded


def encoded_pairs(
    module: Classifier,
    tokens: np.ndarray,
    rows: np.ndarray,
    features: Table | None,
    place: torch.device,
    batch: int,
) -> Iterator[tuple[np.ndarray, Encoded, Encoded | None]]:
    """Q questions (Q, 26) and their pictures' rows (Q,): yields (numbers of questions, their encodings, those of their
    pictures, None for a model without) until all questions were there. Under bfloat16 encodings may have unused rows at
    the end.
    """
    table = None
    if module.sees_pictures and features is not None:
        table = open_features(features, place)
        table.check(rows)
    for group in _groups(_encode(module, tokens, place, batch)):
        for pictures in [None] if table is None else _look(module, _distinct_rows(group, rows), table, batch):
            for questions in group:
                yield from _pairs(questions, pictures, rows, place, batch)
            del pictures  # before the next are encoded
        group.clear()


def _encode(module: Classifier, tokens: np.ndarray, place: torch.device, batch: int) -> Iterator[_Questions]:
    """Encode each distinct question, in sorted order, so that those of a batch have long common beginnings."""
    order = np.lexsort(tokens.T[::-1])
    ranked = tokens[order]
    new = np.ones(len(order), bool)
    new[1:] = (ranked[1:] != ranked[:-1]).any(axis=1)
    distinct = new.cumsum() - 1
    firsts = np.flatnonzero(new)
    words = module.read_words() if len(firsts) > batch else None  # in fewer, most words do not occur
    for i in range(0, len(firsts), batch):
        start, stop = np.searchsorted(distinct, [i, i + batch])
        encoded = module.encode(ranked[firsts[i : i + batch]], words)
        yield _Questions(order[start:stop], distinct[start:stop] - i, encoded)


def _groups(batches: Iterator[_Questions]) -> Iterator[list[_Questions]]:
    """As many batches at a time as QUESTIONS_BYTES allow."""
    group: list[_Questions] = []
    for questions in batches:
        group.append(questions)
        if sum(_bytes(each.encoded) for each in group) >= QUESTIONS_BYTES:
            yield group
            group = []
    if group:
        yield group


def _distinct_rows(group: list[_Questions], rows: np.ndarray) -> np.ndarray:
    """The pictures that a group of questions is about."""
    return np.unique(rows[np.concatenate([questions.numbers for questions in group])])


def _look(module: Classifier, rows: np.ndarray, table: Features, batch: int) -> Iterator[_Pictures]:
    """Encode the pictures in these rows, distinct and ascending, as many at a time as PICTURES_BYTES allow."""
    size = max(1, min(batch, LOOK_BYTES // (4 * math.prod(table.shape[1:]))))
    parts: list[Encoded] = []
    first = stop = 0
    for features in table.stream(rows, size):
        stop += len(features)
        parts.append(module.look(features))
        if stop == len(rows) or sum(map(_bytes, parts)) >= PICTURES_BYTES:
            yield _Pictures(rows[first:stop], _joined(parts))
            first = stop


def _joined(parts: list[Encoded]) -> Encoded:
    """All rows in one; empties the list, so that they are in memory once."""
    encoded = join(parts) if len(parts) > 1 else parts[0]
    parts.clear()
    return encoded


def _pairs(
    questions: _Questions, pictures: _Pictures | None, rows: np.ndarray, place: torch.device, batch: int
) -> Iterator[tuple[np.ndarray, Encoded, Encoded | None]]:
    """Those of the questions that are about one of the pictures, a batch at a time."""
    numbers, question_of, size = questions.numbers, questions.row_of, batch
    if pictures is not None:
        about = rows[numbers]
        here = (about >= pictures.rows[0]) & (about <= pictures.rows[-1])
        numbers, question_of = numbers[here], question_of[here]
        picture_of = np.searchsorted(pictures.rows, about[here])
        pair_bytes = _row_bytes(questions.encoded) + _row_bytes(pictures.encoded)
        size = max(1, min(batch, PAIRS_BYTES // max(1, pair_bytes)))
    for i in range(0, len(numbers), size):
        part = slice(i, i + size)
        question = _picked(questions.encoded, question_of[part], place)
        picture = None if pictures is None else _picked(pictures.encoded, picture_of[part], place)
        yield numbers[part], question, picture


def _picked(encoded: Encoded, rows: np.ndarray, place: torch.device) -> Encoded:
    return pick(encoded, rounded_up_index(send(rows, place)))


def _tensors(encoded: Encoded) -> tuple[Tensor, ...]:
    return encoded if isinstance(encoded, tuple) else (encoded,)


def _bytes(encoded: Encoded) -> int:
    return sum(tensor.nbytes for tensor in _tensors(encoded))


def _row_bytes(encoded: Encoded) -> int:
    return _bytes(encoded) // len(_tensors(encoded)[0])
